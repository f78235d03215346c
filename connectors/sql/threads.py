"""A pool of connections used by threads, so that synchronous drivers don't block the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")


class ConnectionThreads:
    """Runs functions with a connection of `engine` in at most `size` threads.

    A cancelled caller stops waiting; its statement still completes in its thread, and `close` waits for it.
    """

    def __init__(self, engine: Engine, size: int, name: str) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=f"bridge-{name}")

    async def run(self, act: Callable[[Connection], T], **options: str) -> T:
        """`act(connection)`; the connection goes back to the pool afterwards."""

        def work() -> T:
            with self._engine.connect() as connection:
                return act(connection.execution_options(**options) if options else connection)

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Wait for running statements and close every connection. May be called twice."""

        def end() -> None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._engine.dispose()

        await asyncio.to_thread(end)
