from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.connector import System, TableUse
from connectors.journal import JournalOptions


class Legacy:
    """A legacy program's database and its own connection; it knows nothing of the bridge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.db.execute(query).fetchall()

    def system(self, *tables: str | TableUse, **options: int) -> System:
        uses = tuple(TableUse(table) if isinstance(table, str) else table for table in tables)
        url = f"sqlite:///{self.path}"
        return System("acme", "erp", url, url, JournalOptions(**options), uses)


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[Legacy]:
    database = Legacy(tmp_path / "erp.db")
    database.run("PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF")
    yield database
    database.db.close()
