"""Legacy databases that a rig captures."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Protocol

import psycopg
from pydantic import BaseModel

from bridge.connector import Connector, System, TableUse
from connectors.journal import JournalOptions
from connectors.journal import connector as journal
from connectors.postgres import connector as postgres

BRIDGE = "acme"


class CapturedDatabase(Protocol):
    """A database, a session of its user's, and the connector that captures it."""

    connector: Connector

    def run(self, *statements: str) -> None:
        """Each in a transaction of its own, unless a statement begins one."""

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows."""

    def system(self, tables: list[str]) -> System: ...

    def close(self) -> None: ...


def _system(url: str, options: BaseModel, tables: list[str]) -> System:
    uses = tuple(TableUse(table) for table in tables)
    return System(BRIDGE, "erp", url, url, options, uses, commands=False)


class SqliteDatabase:
    """SQLite behind the journal connector."""

    def __init__(self, path: Path) -> None:
        self.connector: Connector = journal
        self._path = path
        self.db = sqlite3.connect(path, isolation_level=None)
        self.run("PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF")

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        cursor = self.db.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()

    def system(self, tables: list[str]) -> System:
        return _system(f"sqlite:///{self._path}", JournalOptions(poll_ms=5), tables)

    def close(self) -> None:
        self.db.close()


class PostgresDatabase:
    """A PostgreSQL database; its session never waits for a synchronous standby."""

    def __init__(self, url: str) -> None:
        self.connector: Connector = postgres
        self.url = url
        self.options: dict[str, Any] = {"slot_wait": 10.0}
        self.db = psycopg.connect(url, autocommit=True, options="-c synchronous_commit=local")

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        cursor = self.db.execute(query)
        return [column.name for column in cursor.description or ()], cursor.fetchall()

    def system(self, tables: list[str]) -> System:
        return _system(self.url, postgres.options(**self.options), tables)

    def close(self) -> None:
        self.db.close()
