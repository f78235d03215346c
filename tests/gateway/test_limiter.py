from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from bridge.gateway.limiter import Limiter
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.limits.sliding_window import SlidingWindow
from bridge.model.errors import RetryLater
from bridge.model.specs import SystemLimits, WindowLimit


class SteppedClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def limiter_of(clock: SteppedClock, **limits: Any) -> Limiter:
    return Limiter(SystemLimits(**limits), clock=clock, sleep=clock.sleep)


def free(limiter: Limiter) -> int:
    connections = limiter._control.ceilings.connections
    return connections.limit - connections.in_use


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_starts_are_spread_evenly_where_nothing_is_said_of_bursts() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=10, queries_per_second=50)
    starts = []
    for _ in range(4):
        await limiter.acquire()
        starts.append(round(clock.now, 6))
    assert starts == [100.0, 100.02, 100.04, 100.06]


async def test_more_queries_on_one_connection_are_paced_as_well() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=1, queries_per_second=10)
    await limiter.acquire()
    for _ in range(3):
        await limiter.wait_for_start()
        assert free(limiter) == 0
    assert clock.slept == [0.1, 0.1, 0.1]
    limiter.release()
    assert free(limiter) == 1


async def test_who_waits_for_its_next_query_is_not_behind_who_waits_for_its_connection() -> None:
    limiter = limiter_of(SteppedClock(), connections=1, queries_per_second=10)
    await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    await limiter.wait_for_start()
    assert not waiting.done()
    limiter.release()
    await waiting


async def test_all_queries_of_a_connection_count_in_a_window() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=2, windows=(WindowLimit(4, 60),))
    first, second = await limiter.acquire(), await limiter.acquire()
    await limiter.wait_for_start(first)
    limiter.release(first)
    clock.now += 30
    limiter.release(second)
    await limiter.acquire()
    assert clock.now == 160.0, "the first query had ended at 100"


async def limiter_whose_next_start_never_comes() -> Limiter:
    """Of two connections, one of them taken, at one start per second, with a clock that stands still."""

    async def sleep(seconds: float) -> None:
        await asyncio.Event().wait()

    limiter = Limiter(SystemLimits(2, 1), clock=lambda: 0.0, sleep=sleep)
    await limiter.acquire()
    return limiter


async def test_who_is_cancelled_while_waiting_for_its_turn_holds_nothing() -> None:
    limiter = await limiter_whose_next_start_never_comes()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert free(limiter) == 1
    assert limiter._waiting == {}
    assert limiter._waker is None, "nobody is there to be woken"


async def test_a_connection_for_somebody_who_has_just_been_cancelled_goes_to_the_next() -> None:
    """Cancelled before and after the connection was handed out."""
    for release_first in (True, False):
        limiter = limiter_of(SteppedClock(), connections=1)
        first = await limiter.acquire()
        gone, following = (asyncio.create_task(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        if release_first:
            limiter.release(first)
            gone.cancel()
        else:
            gone.cancel()
            limiter.release(first)
        second = await following
        assert gone.cancelled() or (await asyncio.gather(gone, return_exceptions=True))
        limiter.release(second)
        assert free(limiter) == 1


async def test_who_is_cancelled_between_two_queries_still_has_its_connection() -> None:
    limiter = await limiter_whose_next_start_never_comes()
    waiting = asyncio.create_task(limiter.wait_for_start())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert free(limiter) == 1
    limiter.release()
    assert free(limiter) == 2


async def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, queries_per_second=1)
    await limiter.acquire()
    with pytest.raises(RetryLater, match="can't start within its deadline"):
        await limiter.acquire(deadline=100.5)
    assert clock.slept == []


async def test_commands_go_first() -> None:
    limiter = limiter_of(SteppedClock(), connections=1)
    await limiter.acquire()
    order: list[WorkClass] = []

    async def ask(work: WorkClass) -> None:
        await limiter.acquire(work)
        order.append(work)
        limiter.release()

    tasks = [asyncio.create_task(ask(work)) for work in reversed(WorkClass)]
    await until(lambda: len(limiter._waiting) == len(tasks))
    limiter.release()
    await asyncio.gather(*tasks)
    assert order == list(WorkClass)


async def test_a_refusal_by_the_system_takes_a_connection_away_for_a_time() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=2)
    assert limiter.throttle(1.0, "busy")
    assert not limiter.throttle(1.25, "busy")
    await limiter.acquire()
    assert clock.now == 101.25
    await limiter.acquire()
    assert clock.now == 110.0


async def test_each_query_is_charged_for_its_own_time() -> None:
    """The long one ends last: were they taken in the order of their starts, the short one would be
    charged with the time until the first release only, and 15 more seconds would fit.
    """
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=2, windows=(WindowLimit(30, 300, "seconds"),))
    long = await limiter.acquire()
    clock.now += 10
    short = await limiter.acquire()
    clock.now += 5
    limiter.release(short)
    clock.now += 15
    limiter.release(long)
    window = limiter._control.ceilings._all[-1]
    assert isinstance(window, SlidingWindow)
    assert list(window._ended) == [(115.0 + 300, 5.0), (130.0 + 300, 30.0)]


async def test_rows_of_an_answer_hold_the_next_query_back() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=2, rows_per_second=100)
    first, second = await limiter.acquire(), await limiter.acquire()
    limiter.used(rows=250, query=first)
    limiter.used(rows=50)
    await limiter.wait_for_start(first)
    assert clock.now == 101.5, "250 rows, of which one second's 100 are free"
    limiter.release(first)
    limiter.release(second)
    await limiter.acquire()
    assert clock.now == 102.0, "each answer is charged once, to the query whose it is"


async def test_requests_that_the_connector_counted_are_charged() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=1, windows=(WindowLimit(6, 60),))
    await limiter.acquire()
    limiter.used(requests=5)
    limiter.release()
    await limiter.acquire()
    limiter.release()
    await limiter.acquire()
    assert clock.now == 160.0


async def test_a_refusal_for_load_counts_once_for_the_queries_that_ran_beside_it() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=4)
    queries = [await limiter.acquire() for _ in range(4)]
    clock.now += 1
    assert [limiter.system_refused(query) for query in queries] == [True, False, False, False]
    assert free(limiter) == -1
    for query in queries:
        limiter.release(query)
    clock.now += 1
    await limiter.acquire()
    assert limiter.system_refused()
    assert free(limiter) == 1


async def test_a_query_without_a_deadline_is_not_shed_unless_it_allows_that() -> None:
    clock = SteppedClock()
    limiter = limiter_of(clock, connections=1)
    query = await limiter.acquire()
    patient = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    shed = [asyncio.create_task(limiter.acquire(sheddable=True)) for _ in range(3)]
    answers = await asyncio.gather(*shed[1:], return_exceptions=True)
    assert {str(answer).partition(":")[0] for answer in answers} == {"shed"}
    assert not any(each.done() for each in patient)
    for each in (*patient, shed[0]):
        limiter.release(query)
        query = await each
    assert limiter._control.turn(clock.now).again_at == inf
