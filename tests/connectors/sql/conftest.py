from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.connector import System, TableUse
from connectors.sql.dialect import SqlDialect, VisibilityQuery
from connectors.sql.engine import make_engine
from connectors.sql.postgres.dialect import POSTGRESQL
from connectors.sql.sqlite.dialect import SQLITE
from connectors.sql.write import ledger


@dataclass(frozen=True, slots=True)
class ReportedVisibility:
    """What a statement has seen, as the database says it."""

    value: Any

    def contains(self, transaction: int) -> bool:
        return transaction >= 0

    def unseen(self) -> tuple[int, ...]:
        return ()


@dataclass(slots=True)
class SqlDatabase:
    """A database, its dialect, and a connection of the legacy program."""

    name: str
    url: str
    dialect: SqlDialect
    db: Any

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.db.execute(query).fetchall()
        return rows

    def system(self, *tables: str | TableUse, connections: int = 2) -> System:
        uses = tuple(TableUse(table) if isinstance(table, str) else table for table in tables)
        return System("acme", "erp", self.url, self.name, None, uses, connections)

    def seeing(self, expression: str) -> SqlDialect:
        return replace(self.dialect, seen=VisibilityQuery(expression, ReportedVisibility))

    def make_ledger(self) -> None:
        engine = make_engine(self.system())
        self.run(ledger.create_sql(engine.dialect))
        engine.dispose()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[SqlDatabase]:
    path = tmp_path / "erp.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    yield SqlDatabase("sqlite", f"sqlite:///{path}", SQLITE, db)
    db.close()


@pytest.fixture
def server(database: str) -> Iterator[SqlDatabase]:
    with psycopg.connect(database, autocommit=True) as db:
        yield SqlDatabase("postgres", database, POSTGRESQL, db)


@pytest.fixture(params=["lite", "server"])
def erp_database(request: pytest.FixtureRequest) -> SqlDatabase:
    erp_database: SqlDatabase = request.getfixturevalue(request.param)
    return erp_database
