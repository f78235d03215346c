from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.limiter import Limiter, next_start
from bridge.model.specs import SystemLimits


@given(
    gaps=st.lists(st.floats(0, 3), min_size=2, max_size=50),
    rate=st.floats(0.5, 1000),
)
def test_starts_are_never_closer_than_the_rate_allows(gaps: list[float], rate: float) -> None:
    now, earliest, starts = 0.0, 0.0, []
    for gap in gaps:
        now += gap
        start, earliest = next_start(now, earliest, rate)
        starts.append(start)
        assert start >= now
    for earlier, later in pairwise(starts):
        assert later - earlier >= 1 / rate - 1e-9


async def test_a_burst_is_spread_over_time() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    limiter = Limiter(SystemLimits(10, 50), clock=lambda: 100.0, sleep=sleep)
    for _ in range(4):
        await limiter.acquire()
    assert [round(seconds, 6) for seconds in slept] == [0.02, 0.04, 0.06]


async def test_who_is_cancelled_while_waiting_for_its_turn_gives_the_connection_back() -> None:
    async def sleep(seconds: float) -> None:
        await asyncio.Event().wait()

    limiter = Limiter(SystemLimits(2, 1), clock=lambda: 0.0, sleep=sleep)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not limiter._connections.locked()
