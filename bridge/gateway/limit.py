"""The ceilings of one system: queries at the same time, and queries started a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from bridge.model.declare import Limits


def next_start(now: float, earliest: float, rate: float) -> tuple[float, float]:
    """When a query may start, and the earliest start of the one after it, in seconds.

    Evenly spaced (the generic cell rate algorithm without a burst); `rate` 0: at once.
    """
    if rate <= 0:
        return now, now
    start = max(now, earliest)
    return start, start + 1 / rate


class Limiter:
    """Hands out a system's connections in the order of asking, paced to its rate."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connections = asyncio.Semaphore(limits.connections)
        self._rate = limits.queries_per_second
        self._clock = clock
        self._sleep = sleep
        self._earliest = clock()

    async def acquire(self) -> None:
        """Wait for a connection and for the turn to use it; `release` gives it back."""
        await self._connections.acquire()
        try:
            await self.turn()
        except BaseException:
            self._connections.release()
            raise

    async def turn(self) -> None:
        """Wait until one more query may start on a connection that is held."""
        now = self._clock()
        start, self._earliest = next_start(now, self._earliest, self._rate)
        if start > now:
            await self._sleep(start - now)

    def release(self) -> None:
        """Give a connection back."""
        self._connections.release()
