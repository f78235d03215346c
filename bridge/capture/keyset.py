"""A set of an entity's keys that may be larger than memory: a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

_LIVE, _TOUCHED = 0, 1
_CACHE_KB = 8_000


class KeySet:
    """Which keys are in the log and were not met otherwise since.

    `live` and `dead` tell what the log says, in its order; `touched` is what the stream or the
    table showed, and wins over the log whenever it is told. The file has no name and vanishes
    with the process.
    """

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        self._file.execute(
            "CREATE TABLE keys (key BLOB PRIMARY KEY, state INTEGER NOT NULL) WITHOUT ROWID"
        )

    def scanned(self, records: Iterable[tuple[bytes, bool]]) -> None:
        """Records of the log in order: keys, and whether the record leaves the key alive."""
        last = dict(records)
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT OR IGNORE INTO keys VALUES (?, ?)",
            ((key, _LIVE) for key, alive in last.items() if alive),
        )
        self._file.executemany(
            "DELETE FROM keys WHERE key = ? AND state = ?",
            ((key, _LIVE) for key, alive in last.items() if not alive),
        )
        self._file.execute("COMMIT")

    def touched(self, keys: Iterable[bytes]) -> None:
        """These were met in the table or in the stream."""
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT OR REPLACE INTO keys VALUES (?, ?)", ((key, _TOUCHED) for key in keys)
        )
        self._file.execute("COMMIT")

    def left(self, page: int) -> Iterator[list[bytes]]:
        """Keys that only the log knows, in order, in pages. The set may not change meanwhile."""
        after = b""
        while True:
            rows = self._file.execute(
                "SELECT key FROM keys WHERE state = ? AND key > ? ORDER BY key LIMIT ?",
                (_LIVE, after, page),
            ).fetchall()
            if not rows:
                return
            yield [row[0] for row in rows]
            after = rows[-1][0]

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
