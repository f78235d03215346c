"""The limits of one system: concurrent queries, queries started per second, and none while the
system is throttling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from bridge.model.errors import RetryLater
from bridge.model.specs import SystemLimits

MAX_THROTTLE_S = 30.0
"""Seconds that a read waits for a throttling system; for a longer pause it raises RetryLater at
once.
"""


def next_start(now: float, earliest: float, rate: float) -> tuple[float, float]:
    """When a query may start, and the earliest start of the next one, in seconds.

    Evenly spaced (the generic cell rate algorithm without a burst); `rate` 0: at once.
    """
    if rate <= 0:
        return now, now
    start = max(now, earliest)
    return start, start + 1 / rate


#: Concurrent queries are refused with nearly the same end of the pause.
SAME_THROTTLE_S = 0.5


class Limiter:
    """Hands out a system's connections first come, first served, paced to its rate."""

    def __init__(
        self,
        limits: SystemLimits,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connections = asyncio.Semaphore(limits.connections)
        self._rate = limits.queries_per_second
        self._clock = clock
        self._sleep = sleep
        self._earliest = clock()
        self._throttled_until = self._earliest
        self._reason = ""

    def throttle(self, seconds: float, why: str) -> bool:
        """Start no query for `seconds`, because the system asked for a pause. Returns whether this
        is new: False if another query was already refused with the same time.
        """
        now = self._clock()
        until = now + seconds
        news = now >= self._throttled_until or until > self._throttled_until + SAME_THROTTLE_S
        if until > self._throttled_until:
            self._throttled_until, self._reason = until, why
        return news

    async def acquire(self) -> None:
        """Wait for a connection and for permission to start; `release` returns the connection.
        Raises RetryLater if the system's pause is too long to wait for.
        """
        await self._connections.acquire()
        try:
            await self.wait_for_start()
        except BaseException:
            self._connections.release()
            raise

    async def wait_for_start(self) -> None:
        """Wait until one more query may start on a connection already acquired. Raises as
        `acquire`.
        """
        while (left := self._throttled_until - self._clock()) > 0:
            if left > MAX_THROTTLE_S:
                raise RetryLater(f"{self._reason} (for {left:.0f} s more)", after=left)
            await self._sleep(left)
        now = self._clock()
        start, self._earliest = next_start(now, self._earliest, self._rate)
        if start > now:
            await self._sleep(start - now)

    def release(self) -> None:
        """Return a connection."""
        self._connections.release()
