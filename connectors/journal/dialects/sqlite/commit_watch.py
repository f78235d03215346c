"""Notices commits of other connections to a SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable

from bridge.connector import System
from bridge.model.errors import RetryLater
from connectors.sql.engine import parse_url
from connectors.sql.sqlite.connection import connect_sqlite, file_identity, sqlite_path


class SqliteCommitWatch:
    """https://www.sqlite.org/pragma.html#pragma_data_version: some microseconds per call."""

    def __init__(self, system: System) -> None:
        self._path = sqlite_path(system, parse_url(system))
        self._file: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = None

    def token(self) -> Hashable | None:
        """As `Watch.token`; None while a writer holds the lock of a rollback journal."""
        try:
            file = file_identity(self._path)
            if file != self._file:
                self.close()
            if self._db is None:
                self._db = connect_sqlite(self._path, 0)()
                self._file = file
            return file, self._db.execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.OperationalError, RetryLater):
            # Busy, or something that the next read will name.
            return None

    def close(self) -> None:
        """As `Watch.close`."""
        if self._db is not None:
            self._db.close()
            self._db = None
