"""A psycopg connection that waits for a server that hangs only so long.

TCP's own time-outs end a connection whose other side is gone. A server that is stopped, or hangs
on a lock, keeps answering for TCP: only the one who waits can notice.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import psycopg

#: Seconds that a statement whose caller was cancelled is waited for: the server is asked to end it.
_CANCEL_TIMEOUT_S = 2.0


class BoundedConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """`limit`: seconds that one answer may take (None: any time). One that takes longer ends the
    connection, and its caller gets psycopg.OperationalError.
    """

    limit: float | None = None

    async def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Everything but connecting waits here."""
        waiting = asyncio.ensure_future(super().wait(gen, *args, **options))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self.limit)
        except asyncio.CancelledError:
            # psycopg asks the server to end the statement, and waits for ten seconds.
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=_CANCEL_TIMEOUT_S)
            if not waiting.done():
                self.cut()
            waiting.add_done_callback(_collect)
            raise
        if not done:
            self.cut()
            await asyncio.wait({waiting})
            _collect(waiting)
            raise no_answer(self.limit)
        return waiting.result()

    def cut(self) -> None:
        """Everyone who waits for the server gets an error at once. Nothing is sent to the server."""
        if self.closed:
            return
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as same:
            try:
                same.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # The connection is gone already.


def no_answer(limit: float | None) -> psycopg.OperationalError:
    """What is raised when the limit is over."""
    return psycopg.OperationalError(f"the server gave no answer within {limit or 0:g} s")


def _collect(waiting: asyncio.Future[Any]) -> None:
    """An exception that nobody retrieved would be logged."""
    if not waiting.cancelled():
        waiting.exception()
