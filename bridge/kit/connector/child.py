"""A process that captures and is killed: what it printed is the log, lines are transactions.

One argument: JSON with the connector's dotted name, the pickled System, the checkpoint to go on
behind, how many changes a batch may have, and the names of rows that were told before (`Records`).
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import pickle
import sys
from typing import Any

from bridge.connector import Connector, System
from bridge.kit.connector.legacy import Legacy
from bridge.kit.connector.opening import open_source
from bridge.kit.connector.records import Records, Told


class _Only:
    """The part of a Legacy that `open_source` needs."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector


def say(**what: Any) -> None:
    """One line to the suite, whole or not at all (below the size of a pipe's atomic write)."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def dumped(values: list[Any]) -> str:
    """Anything as text."""
    return base64.b64encode(pickle.dumps(values)).decode()


def loaded(text: str) -> list[Any]:
    """What `dumped` made; it comes from our own suite."""
    found: list[Any] = pickle.loads(base64.b64decode(text))  # noqa: S301
    return found


def packed(told: list[Told]) -> str:
    """History as text."""
    return dumped([tuple(step) for step in told])


def unpacked(text: str) -> list[Told]:
    """What `packed` made."""
    return [Told(*step) for step in loaded(text)]


async def capture(
    connector: Connector, system: System, after: bytes, limit: int, names: str
) -> None:
    """Read, write, acknowledge, until killed."""
    shapes = await connector.describe(system)
    records = Records(shapes[system.tables[0].table])
    records.names = dict(loaded(names))
    known = len(records.names)
    legacy: Legacy = _Only(connector)  # type: ignore[assignment]
    source, _ = await open_source(legacy, system, after)
    say(ready=True)
    while True:
        batch = await source.read(limit, 0.2)
        say(
            told=packed(records.told(batch.changes)),
            names=dumped(list(records.names.items())[known:]),
            checkpoint=batch.checkpoint.hex(),
            stale=[list(one) for one in batch.stale],
        )
        known = len(records.names)
        await source.ack(batch.checkpoint)
        say(acknowledged=True)


def main() -> None:
    """Run with what the suite told."""
    told = json.loads(sys.argv[1])
    module, _, name = told["build"].partition(":")
    connector = getattr(importlib.import_module(module), name)
    system = pickle.loads(base64.b64decode(told["system"]))  # noqa: S301 - from our own suite
    asyncio.run(
        capture(connector, system, bytes.fromhex(told["after"]), told["limit"], told["names"])
    )


if __name__ == "__main__":
    main()
