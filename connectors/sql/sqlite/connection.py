"""Opens SQLite's database files, also after the file was replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from bridge.connector import System
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import ConfigurationError, RetryLater

BEGIN_OPTION = "bridge_begin"
"""Execution option of a connection: the statement that opens its transactions on SQLite."""

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for SQLite's lock before it is RetryLater."""


def sqlite_path(system: System, url: URL) -> Path:
    """The database file. A missing file is an error: SQLite would create an empty one."""
    if not url.database or url.database == ":memory:":
        message = f"system {system.name!r}: url {system.shown_url!r} names no SQLite file"
        raise ConfigurationError(message)
    path = Path(url.database)
    if not path.is_file():
        message = f"system {system.name!r}: there is no SQLite database at {path}; correct `url`"
        raise ConfigurationError(message)
    return path


def text_or_bytes(value: bytes) -> str | bytes:
    """Text of SQLite; bytes where a legacy program stored another code page as text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return EncodedText(value)


def connect_sqlite(path: Path, timeout: float | None = None) -> Callable[[], sqlite3.Connection]:
    """Opens an existing file; transactions are begun by the `begin` event alone.

    `timeout`: seconds to wait for a lock (None: `BUSY_SECONDS`).
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S if timeout is None else timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = text_or_bytes
        return connection

    return connect


def file_identity(path: Path) -> tuple[int, int]:
    """Which file it is. Raises RetryLater while there is none, as when a backup is restored."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise RetryLater(f"there is no SQLite database at {path} just now") from None
    return status.st_dev, status.st_ino


def engine_of_file(path: Path, connections: int, busy_timeout_s: float) -> Engine:
    """An engine that opens its connections again when the database file was replaced: open connections
    would keep using the old file. `Connection.info["file"]` is the identity of the file.
    """
    connect = connect_sqlite(path, busy_timeout_s)
    identities: dict[int, tuple[int, int]] = {}

    def create() -> sqlite3.Connection:
        # Read before the file is opened: a file that is replaced in between is seen at the next checkout.
        identity = file_identity(path)
        connection = connect()
        identities[id(connection)] = identity
        return connection

    engine = sa.create_engine(
        "sqlite://",
        creator=create,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
    )

    def connected(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["file"] = identities.pop(id(connection))

    def checked_out(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        if record.info["file"] != file_identity(path):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "checkout", checked_out)
    return engine


def sqlite_engine(system: System, url: URL, connections: int, busy_timeout_s: float) -> Engine:
    engine = engine_of_file(sqlite_path(system, url), connections, busy_timeout_s)

    def begin(connection: Connection) -> None:
        options: dict[str, Any] = dict(connection.get_execution_options())
        connection.exec_driver_sql(options.get(BEGIN_OPTION, "BEGIN"))

    sa.event.listen(engine, "begin", begin)
    return engine
