"""A process that captures and is killed: what it printed is the log, lines are transactions.

One argument: JSON with the connector's dotted name, the pickled System, the checkpoint to resume
after, how many changes a batch may have, and the names of rows streamed before (`RecordDecoder`).
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
from bridge.kit.connector.legacy import LegacySystem
from bridge.kit.connector.open_source import open_source
from bridge.kit.connector.records import HistoryStep, RecordDecoder


class _Only:
    """The part of a Legacy that `open_source` needs."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector


def print_message(**what: Any) -> None:
    """One line to the suite, whole or not at all (below the size of a pipe's atomic write)."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def dump(values: list[Any]) -> str:
    """Anything as text."""
    return base64.b64encode(pickle.dumps(values)).decode()


def load(text: str) -> list[Any]:
    """What `dumped` made; it comes from our own suite."""
    values: list[Any] = pickle.loads(base64.b64decode(text))  # noqa: S301
    return values


def dump_steps(steps: list[HistoryStep]) -> str:
    """History as text."""
    return dump([tuple(step) for step in steps])


def load_steps(text: str) -> list[HistoryStep]:
    """What `packed` made."""
    return [HistoryStep(*step) for step in load(text)]


async def capture(
    connector: Connector, system: System, after: bytes, limit: int, names: str
) -> None:
    """Read, write, acknowledge, until killed."""
    shapes = await connector.describe(system)
    records = RecordDecoder(shapes[system.tables[0].table])
    records.names = dict(load(names))
    sent_names = len(records.names)
    legacy: LegacySystem = _Only(connector)  # type: ignore[assignment]
    source, _ = await open_source(legacy, system, after)
    print_message(ready=True)
    while True:
        batch = await source.read(limit, 0.2)
        print_message(
            steps=dump_steps(records.steps(batch.changes)),
            names=dump(list(records.names.items())[sent_names:]),
            checkpoint=batch.checkpoint.hex(),
            stale=[list(stale) for stale in batch.stale],
        )
        sent_names = len(records.names)
        await source.ack(batch.checkpoint)
        print_message(acknowledged=True)


def main() -> None:
    """Run with the suite's argument."""
    arguments = json.loads(sys.argv[1])
    module, _, name = arguments["build"].partition(":")
    connector = getattr(importlib.import_module(module), name)
    system = pickle.loads(base64.b64decode(arguments["system"]))  # noqa: S301 - from our own suite
    asyncio.run(
        capture(
            connector,
            system,
            bytes.fromhex(arguments["after"]),
            arguments["limit"],
            arguments["names"],
        )
    )


if __name__ == "__main__":
    main()
