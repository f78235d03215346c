"""What the bridge has made durable, reported to the server in standby status updates."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import psycopg

from connectors.postgres.capture.slot import confirmed_lsn
from connectors.postgres.transport.copy_connection import CopyConnection

_EPOCH_2000 = 946_684_800.0


class StandbyFeedback:
    """The confirmed position of one slot. `clock`: seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._confirmed = 0
        self._sending = asyncio.Lock()

    def already_confirmed(self, confirmed: int) -> None:
        """The server has this already."""
        self._confirmed = max(self._confirmed, confirmed)

    def reach(self, lsn: int, received: int) -> bool:
        """Everything up to `lsn` is in the log; returns whether the server doesn't know that yet.
        PostgreSQL 15 accepts a position beyond its own end, and then skips later changes: so never report
        more than was received.
        """
        confirmed = confirmed_lsn(min(lsn, max(received, self._confirmed)))
        news = confirmed > self._confirmed
        self._confirmed = max(confirmed, self._confirmed)
        return news

    async def report(self, link: CopyConnection | None, *, ask: bool = False) -> None:
        """Send the durable position; `ask` requests an answer. Raises RetryLater if the connection is
        lost.
        """
        if link is None:
            return
        now = int((self._clock() - _EPOCH_2000) * 1_000_000)
        position = self._confirmed
        message = struct.pack(">cQQQqB", b"r", position, position, position, now, ask)
        async with self._sending:
            try:
                await link.send(message)
            except psycopg.Error as error:
                raise link.lost(error, "a status update could not be sent") from None
