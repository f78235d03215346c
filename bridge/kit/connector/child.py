"""A process that captures and is killed: what it printed is the log, lines are transactions.

One argument: JSON with the connector's dotted name, the pickled System, the checkpoint to go on
behind, and how many changes a batch may have.
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
from bridge.kit.connector.records import Records, Told
from bridge.kit.connector.stream import open_source


class _Only:
    """The part of a Legacy that `open_source` needs."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector


def say(**what: Any) -> None:
    """One line to the suite, whole or not at all (below the size of a pipe's atomic write)."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def packed(told: list[Told]) -> str:
    """History as text."""
    return base64.b64encode(pickle.dumps([tuple(step) for step in told])).decode()


def unpacked(text: str) -> list[Told]:
    """What `packed` made; it comes from our own child."""
    return [Told(*step) for step in pickle.loads(base64.b64decode(text))]  # noqa: S301


async def capture(connector: Connector, system: System, after: bytes, limit: int) -> None:
    """Read, write, acknowledge, until killed."""
    shapes = await connector.describe(system)
    records = Records(shapes[system.tables[0].table])
    legacy: Legacy = _Only(connector)  # type: ignore[assignment]
    source, _ = await open_source(legacy, system, after)
    say(ready=True)
    while True:
        batch = await source.read(limit, 0.2)
        say(
            told=packed(records.told(batch.changes)),
            checkpoint=batch.checkpoint.hex(),
            stale=[list(one) for one in batch.stale],
        )
        await source.ack(batch.checkpoint)
        say(acknowledged=True)


def main() -> None:
    """Run with what the suite told."""
    told = json.loads(sys.argv[1])
    module, _, name = told["build"].partition(":")
    connector = getattr(importlib.import_module(module), name)
    system = pickle.loads(base64.b64decode(told["system"]))  # noqa: S301 - from our own suite
    asyncio.run(capture(connector, system, bytes.fromhex(told["after"]), told["limit"]))


if __name__ == "__main__":
    main()
