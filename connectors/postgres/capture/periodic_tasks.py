"""What has to be done again and again while a stream is read, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bridge.model.errors import BridgeError


class PeriodicTasks:
    """Tasks of one source. The first failure of each is kept: a task has nobody to raise to."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BridgeError | None = None

    def start(self, name: str, interval_s: float, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` every `interval_s` seconds, the first time after as many, until it fails."""
        self._tasks.append(asyncio.create_task(self._repeat(interval_s, act), name=name))

    async def _repeat(self, interval_s: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await act()
            except BridgeError as error:
                self._failure = error
                return

    def raise_failure(self) -> None:
        """Raises what one of the tasks raised, if one did."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
