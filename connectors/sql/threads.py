"""A pool of connections used by threads, so that synchronous drivers don't block the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy.engine import Connection, Engine

from bridge.closing import close_in_thread
from bridge.model.errors import DeadlineExceeded
from connectors.sql.running_statement import Interrupt, RunningStatement

T = TypeVar("T")

END_GRACE_S: Final = 1.0
"""How long a caller waits for a statement that was interrupted at its deadline, so that its connection
is free again when the caller continues. A statement that doesn't end by then is left to its thread.
"""


class ConnectionThreads:
    """Runs functions with a connection of `engine` in at most `size` threads.

    interrupt: ends the statement of the driver's connection, from another thread; None: the driver
    can't, and statements run to their end in their threads.

    A cancelled caller stops waiting, and its statement is interrupted. A connection that was
    interrupted is closed. `close` waits for all statements.
    """

    def __init__(
        self, engine: Engine, size: int, name: str, interrupt: Interrupt | None = None
    ) -> None:
        self._engine = engine
        self._interrupt = interrupt
        self._uses: set[RunningStatement] = set()
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=f"bridge-{name}")
        self._interrupters = ThreadPoolExecutor(
            max_workers=size, thread_name_prefix=f"bridge-{name}-interrupt"
        )

    @property
    def running(self) -> int:
        """How many functions run."""
        return len(self._uses)

    async def run(
        self, act: Callable[[Connection], T], deadline: float | None = None, /, **options: str
    ) -> T:
        """`act(connection)`; the connection goes back to the pool afterwards.

        deadline: in seconds of `time.monotonic`; past it the statement is interrupted, and
        DeadlineExceeded raised.
        """
        statement = RunningStatement(self._interrupt)

        def work() -> T:
            with self._engine.connect() as connection:
                self._uses.add(statement)
                try:
                    statement.begin(connection)
                    return act(connection.execution_options(**options) if options else connection)
                finally:
                    statement.end(connection)
                    self._uses.discard(statement)

        running = self._pool.submit(work)
        try:
            if deadline is None:
                return await asyncio.wrap_future(running)
            return await self._until(deadline, running, statement)
        except asyncio.CancelledError:
            self._end(running, statement)
            raise

    async def _until(self, deadline: float, running: Future[T], statement: RunningStatement) -> T:
        answer = asyncio.wrap_future(running)
        begun = time.monotonic()
        await asyncio.wait({answer}, timeout=max(0.0, deadline - begun))
        if not answer.done():
            self._end(running, statement)
            await asyncio.wait({answer}, timeout=END_GRACE_S)
            answer.cancel()
            if answer.done() and not answer.cancelled():
                answer.exception()  # It ended because it was interrupted.
            waited = time.monotonic() - begun
            raise DeadlineExceeded(
                f"the statement was ended after {waited:.1f} s, at the deadline of its reads"
            )
        return answer.result()

    def _end(self, running: Future[T], statement: RunningStatement) -> None:
        """Interrupt a statement that nobody wants any more; it may not have begun."""
        statement.is_interrupted = True
        if running.cancel():
            statement.abandon()
        elif not running.done():
            self._interrupters.submit(statement.interrupt)

    async def close(self) -> None:
        """Wait for running statements and close every connection. May be called twice."""

        def end() -> None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._interrupters.shutdown(wait=True)
            self._engine.dispose()

        await close_in_thread(end)
