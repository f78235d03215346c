"""A set of an entity's keys that may be larger than memory: a temporary SQLite file."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from bridge.model.errors import RetryLater

T = TypeVar("T")
_LIVE, _TOUCHED, _ABSENT = 0, 1, 2
_CACHE_KB = 8_000
#: Maximum queued writes; then the caller waits for the oldest.
_MAX_WAITING_WRITES = 8


class KeyCounts(NamedTuple):
    """How many keys are only in the log, and how many there are in total."""

    unmet: int
    keys: int


class KeySet:
    """The keys that are in the log and were not seen elsewhere since.

    `scanned` adds the log's keys, in its order; `touched` adds keys that the stream or the table
    showed, which take precedence over the log whenever they are added; `absent` marks keys of the
    log alone for which the system has no row. The file has no name and vanishes with the process.

    A separate thread works on the file, in the order of the calls: keys of a large table come in
    any order, so adding thousands of them takes a while. Raises RetryLater, at some later call, if
    there is no room for the file. Used by one task.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bridge-keys")
        self._waiting: deque[Future[None]] = deque()
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        self._file.execute(
            "CREATE TABLE keys (key BLOB PRIMARY KEY, state INTEGER NOT NULL) WITHOUT ROWID"
        )

    def scanned(self, records: Iterable[tuple[bytes, bool]]) -> Future[None]:
        """Add records of the log in order: keys, and whether the record leaves the key alive. The
        future is done when they are in the file.
        """
        last = dict(records)

        def act() -> None:
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

        return self._write(act)

    def touched(self, keys: Iterable[bytes]) -> None:
        """These keys were seen in the table or in the stream."""
        met = [(key, _TOUCHED) for key in keys]

        def act() -> None:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?)", met)
            self._file.execute("COMMIT")

        if met:
            self._write(act)

    def absent(self, keys: Iterable[bytes]) -> None:
        """The system has no rows for these keys. Touched keys stay touched."""
        missed = [(_ABSENT, key, _LIVE) for key in keys]

        def act() -> None:
            self._file.execute("BEGIN")
            self._file.executemany("UPDATE keys SET state = ? WHERE key = ? AND state = ?", missed)
            self._file.execute("COMMIT")

        if missed:
            self._write(act)

    def forget_answers(self) -> None:
        """Forget all query results."""
        query = "UPDATE keys SET state = ? WHERE state = ?"

        def act() -> None:
            self._file.execute(query, (_LIVE, _ABSENT))

        self._write(act)

    def unmet_after(self, key: bytes, page: int) -> Future[list[bytes]]:
        """The next keys, in order, that only the log has and that weren't queried yet."""
        return self._page(_LIVE, key, page)

    def counts(self) -> Future[KeyCounts]:
        """The current counts."""
        query = "SELECT count(*) FILTER (WHERE state <> ?), count(*) FROM keys"
        return self._submit(lambda: KeyCounts(*self._file.execute(query, (_TOUCHED,)).fetchone()))

    def left(self, page: int) -> Iterator[list[bytes]]:
        """Keys that only the log has, in order, in pages. The set must not change meanwhile."""
        return self._pages(_LIVE, page)

    def gone(self, page: int) -> Iterator[list[bytes]]:
        """The same of those that are `absent`."""
        return self._pages(_ABSENT, page)

    def _pages(self, state: int, page: int) -> Iterator[list[bytes]]:
        after = b""
        while self._waiting:
            self._waiting.popleft().result()
        while keys := self._page(state, after, page).result():
            yield keys
            after = keys[-1]

    def _page(self, state: int, after: bytes, page: int) -> Future[list[bytes]]:
        query = "SELECT key FROM keys WHERE state = ? AND key > ? ORDER BY key LIMIT ?"

        def act() -> list[bytes]:
            return [row[0] for row in self._file.execute(query, (state, after, page))]

        return self._submit(act)

    def _write(self, act: Callable[[], None]) -> Future[None]:
        while self._waiting and (
            self._waiting[0].done() or len(self._waiting) >= _MAX_WAITING_WRITES
        ):
            self._waiting.popleft().result()
        written = self._submit(act)
        self._waiting.append(written)
        return written

    def _submit(self, act: Callable[[], T]) -> Future[T]:
        return self._thread.submit(_translating, act)

    def close(self) -> None:
        """Delete the file, after the queued writes."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._file.close()


def _translating(act: Callable[[], T]) -> T:
    try:
        return act()
    except sqlite3.Error as error:
        raise RetryLater(
            f"comparing a table with the log needs room for a temporary file of its keys: {error}; "
            "free some, or point SQLITE_TMPDIR to another folder"
        ) from error
