"""Where the ERP keeps its data: a file of SQLite, or a database of PostgreSQL.

What tests do past the ERP goes through here: looking at what it holds, changing what nobody can
change through it, and holding its writers up.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.services.postgres import Postgres

DATABASE = "erp"


class TrytonStore(Protocol):
    """`settings` are those of `[database]` in the ERP's configuration."""

    @property
    def settings(self) -> str: ...
    def run(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement with a `?` for each value, commit, and return its rows."""

    def empty(self, table: str) -> None:
        """Delete all rows; the next one has the id 1."""

    def held(self, table: str) -> AbstractContextManager[None]:
        """Whoever writes the table waits meanwhile."""


class File:
    """SQLite: one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{DATABASE}.sqlite"

    @property
    def settings(self) -> str:
        return f"uri = sqlite://\npath = {self.path.parent}"

    def run(self, statement: str, *values: Any) -> list[Any]:
        """As `Store.run`."""
        with closing(sqlite3.connect(self.path, timeout=30)) as file, file:
            return file.execute(statement, values).fetchall()

    def empty(self, table: str) -> None:
        """As `Store.empty`."""
        self.run(f"DELETE FROM {table}")
        self.run("DELETE FROM sqlite_sequence WHERE name = ?", table)

    @contextmanager
    def held(self, table: str) -> Iterator[None]:
        """As `Store.held`, of every table."""
        with closing(sqlite3.connect(self.path, timeout=30)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.rollback()

    def save(self, to: Path) -> None:
        """Copy it, with what stands in its write-ahead log."""
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(to)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")

    def load(self, saved: Path) -> None:
        """Begin with a copy of what was saved."""
        shutil.copy(saved, self.path)


class Database:
    """PostgreSQL: many writers at once. The server is the ERP's own, because the ERP holds sessions
    to databases that others want to copy.
    """

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.url = server.url_of(DATABASE)

    @property
    def settings(self) -> str:
        return f"uri = {self.server.url.rpartition('/')[0]}"

    def run(self, statement: str, *values: Any) -> list[Any]:
        """As `Store.run`."""
        return self.server.execute(statement.replace("?", "%s"), values or None, url=self.url)

    def empty(self, table: str) -> None:
        """As `Store.empty`."""
        self.run(f"TRUNCATE {table} RESTART IDENTITY")

    @contextmanager
    def held(self, table: str) -> Iterator[None]:
        """As `Store.held`."""
        with psycopg.connect(self.url) as session:
            session.execute(f"LOCK {table} IN EXCLUSIVE MODE".encode())
            yield
            session.rollback()

    def create(self) -> None:
        """An empty database."""
        self.server.execute(f"CREATE DATABASE {DATABASE}")

    def save(self, to: Path) -> None:
        """Write the whole of it."""
        subprocess.run([*self._program("pg_dump"), "-Fc", "-Z1", "-f", str(to)], check=True)

    def load(self, saved: Path) -> None:
        """Begin with what was saved."""
        self.create()
        subprocess.run([*self._program("pg_restore"), "-j2", str(saved)], check=True)

    def _program(self, name: str) -> list[str]:
        return [str(self.server.bindir / name), "-d", self.url]
