"""The tables of the file, and connections to it.

A batch's id is its partition's id, shifted by 40 bits, plus its first offset: the b-tree of the
rowid is then the log itself, in order, without an index (2**40 offsets a partition, 2**22
partitions).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from bridge.log.embedded.errors import named, not_made
from bridge.log.embedded.open_files import left_behind
from bridge.model.errors import ConfigurationError
from bridge.private_files import make_private_file

SHIFT = 40
APPLICATION = 0x62726467
VERSION = 1

_TABLES = """
CREATE TABLE topic (
    name TEXT PRIMARY KEY,
    cleanup TEXT NOT NULL,
    partitions INTEGER NOT NULL,
    history_ms INTEGER,
    retention_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE partition (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0,
    cleaned INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
);
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    records INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE producer (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE consumer_group (
    name TEXT PRIMARY KEY,
    generation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE member (
    consumer_group TEXT NOT NULL,
    name TEXT NOT NULL,
    topics TEXT NOT NULL,
    session_ms INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, name)
) WITHOUT ROWID;
CREATE TABLE lease (
    consumer_group TEXT NOT NULL,
    partition INTEGER NOT NULL,
    member TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, partition)
) WITHOUT ROWID;
CREATE TABLE committed (
    consumer_group TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, partition)
) WITHOUT ROWID;
"""


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """A connection for one thread at a time; statements outside of BEGIN commit by themselves.

    `patience`: seconds that a statement waits for another process that writes.
    """
    connection = sqlite3.connect(
        path, timeout=patience, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(path: Path, patience: float) -> None:
    """Create missing tables. Raises ConfigurationError if it is another kind of file, or if the
    file is missing but its companion files exist.
    """
    if (reason := left_behind(path)) is not None:
        raise reason
    try:
        # SQLite gives its other files, -wal and -shm, the mode of this one.
        make_private_file(path)
    except OSError as error:
        raise not_made(error, path) from error
    try:
        connection = connect(path, patience)
    except sqlite3.Error as error:
        raise named(error, path) from error
    try:
        # One read transaction for all queries: another process may be creating the tables now.
        connection.execute("BEGIN")
        _check(connection, path)
        connection.execute("ROLLBACK")
        _enter_wal(connection, patience)
        connection.execute("BEGIN IMMEDIATE")
        if _check(connection, path) == 0:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise named(error, path) from error
    finally:
        connection.close()


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the tables; 0 if there are none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION:
        raise ConfigurationError(
            f"{path} is a database of another program, not an embedded log: name another file"
        )
    if version > VERSION:
        raise ConfigurationError(
            f"the embedded log {path} was written by a newer bridge (format {version}, this one "
            f"knows {VERSION}): use that one"
        )
    return int(version)


def _enter_wal(connection: sqlite3.Connection, patience: float) -> None:
    """SQLite doesn't wait for other processes here, so we have to."""
    end = time.monotonic() + patience
    # Pages of 8 kB: batches are large, positions small. Only an empty file can still choose.
    connection.execute("PRAGMA page_size = 8192")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
