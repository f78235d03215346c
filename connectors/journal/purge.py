"""Deletes journal rows that are in the log, without keeping the legacy program waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf

from sqlalchemy.engine import Connection

from bridge.model.errors import RetryLater
from connectors.journal.dialects.contract import JournalDialect, JournalPosition, PurgeResult

MAX_LOCK_S = 0.002
"""Transactions that delete rows are made smaller until they hold the lock no longer."""
MIN_ROWS = 50
"""Rows of the first transaction, and at least of each."""
REST_FACTOR, MAX_REST_S = 4, 0.1
"""Between two transactions the lock is free for so many times as long, and at most so long."""

WriteJournal = Callable[[Callable[[Connection], PurgeResult]], Awaitable[PurgeResult]]
"""Runs a function with a connection that may write. Raises RetryLater while the lock is taken."""


class JournalPurge:
    """Acknowledges in the journal what is durable, and deletes it. Used by one task.

    Rows are deleted every `min_pause_s` seconds at most, in transactions of at most `max_rows` that hold
    the lock for some milliseconds. A deletion that found the database locked is made up for by the
    next one.

    confirmed: what the journal has as acknowledged.
    """

    def __init__(
        self,
        dialect: JournalDialect,
        write: WriteJournal,
        *,
        max_rows: int,
        min_pause_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialect = dialect
        self._write = write
        self._max_rows = max_rows
        self._min_pause_s = min_pause_s
        self._monotonic = monotonic
        self._rows = MIN_ROWS
        self._purged_at = 0.0
        self._durable: JournalPosition | None = None
        self.confirmed: JournalPosition | None = None

    @property
    def is_due(self) -> bool:
        """Whether the last deletion is long enough ago."""
        return self._monotonic() - self._purged_at >= self._min_pause_s

    def note_durable(self, position: JournalPosition) -> None:
        """Everything up to this position is in the log."""
        self._durable = position

    async def run(self, seconds: float, owner: str) -> None:
        """Delete what is durable, for at most so many seconds; the next call continues.

        Raises HistoryLost when another owner acknowledges.
        """
        durable = self._durable
        if durable is None or durable == self.confirmed:
            return
        started_at = self._purged_at = self._monotonic()

        def act(connection: Connection) -> PurgeResult:
            limit = min(self._rows, self._max_rows)
            return self._dialect.confirm(connection, durable, limit, owner)

        try:
            while True:
                result = await self._write(act)
                self._rows = next_row_count(self._rows, result.held_s, self._max_rows)
                if result.complete:
                    break
                if self._monotonic() - started_at >= seconds:
                    self._purged_at = -inf
                    return
                # Most of the time the lock is free for the legacy program.
                await asyncio.sleep(min(REST_FACTOR * result.held_s, MAX_REST_S))
        except RetryLater:
            return
        self.confirmed = durable


def next_row_count(rows: int, held_s: float, max_rows: int) -> int:
    """How many rows the next transaction deletes, after one of `rows` held the lock so long."""
    if held_s > MAX_LOCK_S:
        return max(rows // 2, MIN_ROWS)
    return min(rows * 2, max_rows) if held_s < MAX_LOCK_S / 2 else rows
