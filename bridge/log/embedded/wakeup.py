"""Wakes tasks that wait for records: at once within this process, within 20 ms across processes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from bridge.log.embedded.schema import connect

POLL_EVERY_S = 0.02
"""Seconds between polls of `PRAGMA data_version` while a task waits."""


class Wakeup:
    """Signals that the file has changed. Belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._waiting: set[asyncio.Future[None]] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self._closed = False
        self.rung = 0
        """How often it has signalled; read this before you query the file."""

    def ring(self) -> None:
        """Wake everybody."""
        self.rung += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def ring_from_thread(self) -> None:
        """The same from another thread."""
        # The loop may have ended while a writer is still flushing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.ring)

    async def wait(self, seen: int, timeout: float) -> None:
        """Wait until it has signalled more often than `seen`, or for `timeout` seconds."""
        if self._closed:
            raise RuntimeError("the log was closed while a task waited for records")
        if self.rung != seen:
            return
        future = self._loop.create_future()
        self._waiting.add(future)
        if self._next_look is None:
            self._next_look = self._loop.call_later(POLL_EVERY_S, self._look)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)

    def _look(self) -> None:
        self._next_look = None
        if self._closed:
            return
        # Another process may be recovering or closing the file: then the next poll will show it.
        with contextlib.suppress(sqlite3.OperationalError):
            # A poll takes microseconds and waits for no lock, so it needs no thread.
            if self._connection is None:
                self._connection = connect(self._path, 0.0)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version = version
                self.ring()
        if self._waiting:
            self._next_look = self._loop.call_later(POLL_EVERY_S, self._look)

    def close(self) -> None:
        """Wake all waiting tasks for the last time."""
        self._closed = True
        if self._next_look is not None:
            self._next_look.cancel()
        self.ring()
        if self._connection is not None:
            self._connection.close()
