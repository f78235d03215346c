"""The weakest source behind a rig, and capture of it as a process that can be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from bridge.connector import Connector, System
from bridge.observe import Captured
from tests.connectors.polled import fake
from tests.connectors.polled.store import MODIFIED_COLUMN, JsonStore, StoreTable

TABLE = StoreTable("id", {"id": "integer", "a": "string", "b": "integer"}, {})


class PolledStore:
    """A store with the table `t`; `put` and `drop` are what its program does."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.connector: Connector = fake.connector
        self.store = JsonStore(path)
        self._options = options
        if not path.exists():
            with self.store.transaction() as tables:
                tables["t"] = TABLE

    def put(self, *rows: dict[str, Any]) -> None:
        with self.store.transaction() as tables:
            for row in rows:
                self.store.put(tables["t"], row)

    def drop(self, *keys: int) -> None:
        with self.store.transaction() as tables:
            for key in keys:
                tables["t"].rows.pop(str(key), None)

    def run(self, *statements: str) -> None:
        raise NotImplementedError(f"no SQL here: {statements}")

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        table = self.store.tables()[query.rsplit(maxsplit=1)[-1]]
        names = [*table.columns, MODIFIED_COLUMN]
        return names, [tuple(row[name] for name in names) for row in table.rows.values()]

    def system(self, tables: list[str]) -> System:
        return fake.system(self.store.path, tables, **self._options)

    def close(self) -> None:
        """Nothing is open."""


async def main(folder: Path, instance: str) -> None:
    """Capture until killed; a line for each log transaction."""
    from bridge.capture.runner import Capture
    from tests.capture.harness import open_harness

    async with open_harness(folder, PolledStore(folder / "erp.json", compare=0.3)) as harness:
        await harness.declare("t")
        await Capture(harness.deps(observer=_say), instance).run()


def _say(notice: object) -> None:
    if isinstance(notice, Captured):
        print(notice.position, flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
