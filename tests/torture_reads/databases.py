"""Databases whose rows are written at random, and which record their own history."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg

TABLE = "item"
COLUMNS = "id integer PRIMARY KEY, parent integer, version integer, amount varchar(40), big text"


class WriterSession(Protocol):
    """A connection of one writer."""

    async def transaction(
        self, statements: Sequence[tuple[str, Sequence[Any]]], pause: float, *, commit: bool
    ) -> None:
        """Run the statements, wait, and commit or roll back."""

    async def close(self) -> None: ...


class RecordingDatabase(Protocol):
    """Has the table `item`, and `history`, which a trigger fills in the writer's transaction."""

    can_truncate: bool

    async def session(self) -> WriterSession: ...
    def history(self) -> Mapping[int, list[int | None]]:
        """By key, the versions of its changes in the order of their commits."""


class SqliteSession:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(
            path, isolation_level=None, timeout=60, check_same_thread=False, cached_statements=50
        )
        self._db.execute("PRAGMA synchronous = OFF")

    async def transaction(
        self, statements: Sequence[tuple[str, Sequence[Any]]], pause: float, *, commit: bool
    ) -> None:
        del pause  # one writer at a time: whoever waits keeps all others from it
        await asyncio.to_thread(self._run, statements, commit)

    def _run(self, statements: Sequence[tuple[str, Sequence[Any]]], commit: bool) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement, values in statements:
            self._db.execute(statement, values)
        self._db.execute("COMMIT" if commit else "ROLLBACK")

    async def close(self) -> None:
        self._db.close()


class RecordingSqlite:
    can_truncate = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
            db.execute(
                "CREATE TABLE history (seq integer PRIMARY KEY, id integer, version integer)"
            )
            for op, row, version in (
                ("INSERT", "new", "new.version"),
                ("UPDATE", "new", "new.version"),
                ("DELETE", "old", "NULL"),
            ):
                db.execute(
                    f"CREATE TRIGGER record_{op.lower()} AFTER {op} ON {TABLE} BEGIN INSERT INTO "
                    f"history (id, version) VALUES ({row}.id, {version}); END"
                )
        db.close()

    async def session(self) -> SqliteSession:
        return SqliteSession(self.path)

    def history(self) -> Mapping[int, list[int | None]]:
        with sqlite3.connect(self.path) as db:
            rows = db.execute("SELECT id, version FROM history ORDER BY seq").fetchall()
        db.close()
        return by_key(rows)


class PostgresSession:
    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def transaction(
        self, statements: Sequence[tuple[str, Sequence[Any]]], pause: float, *, commit: bool
    ) -> None:
        for statement, values in statements:
            await self._connection.execute(statement.replace("?", "%s"), values)
        if pause:
            await asyncio.sleep(pause)
        await (self._connection.commit() if commit else self._connection.rollback())

    async def close(self) -> None:
        await self._connection.close()


class RecordingPostgres:
    can_truncate = True

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as db:
            db.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
            db.execute(f"ALTER TABLE {TABLE} ALTER COLUMN big SET STORAGE EXTERNAL")
            db.execute(
                "CREATE TABLE history (seq bigserial PRIMARY KEY, id integer, version integer)"
            )
            db.execute(
                "CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF TG_OP = 'TRUNCATE' THEN INSERT INTO history (id, version) "
                f"SELECT id, NULL FROM {TABLE}; "
                "ELSIF TG_OP = 'DELETE' THEN INSERT INTO history (id, version) VALUES (old.id, NULL); "
                "ELSE INSERT INTO history (id, version) VALUES (new.id, new.version); END IF; "
                "RETURN NULL; END $$"
            )
            db.execute(
                f"CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {TABLE} "
                "FOR EACH ROW EXECUTE FUNCTION record()"
            )
            db.execute(
                f"CREATE TRIGGER record_truncate BEFORE TRUNCATE ON {TABLE} "
                "FOR EACH STATEMENT EXECUTE FUNCTION record()"
            )

    async def session(self) -> PostgresSession:
        return PostgresSession(await psycopg.AsyncConnection.connect(self.url))

    def history(self) -> Mapping[int, list[int | None]]:
        with psycopg.connect(self.url) as db:
            return by_key(db.execute("SELECT id, version FROM history ORDER BY seq").fetchall())


def by_key(rows: Sequence[tuple[int, int | None]]) -> dict[int, list[int | None]]:
    history: dict[int, list[int | None]] = {}
    for key, version in rows:
        history.setdefault(key, []).append(version)
    return history
