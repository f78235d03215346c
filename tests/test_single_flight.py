"""What many ask for at the same time is asked for once."""

import asyncio

import pytest

from bridge.model.errors import RetryLater
from bridge.single_flight import CoalescedRun, SingleFlight


class LookupCalls:
    """Counts calls, each of which ends when `go` is set."""

    def __init__(self) -> None:
        self.count = 0
        self.go = asyncio.Event()
        self.failure: Exception | None = None
        self.cancelled = 0

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return number

    async def run(self) -> None:
        await self()


async def begun(calls: LookupCalls, count: int = 1) -> None:
    while calls.count < count:
        await asyncio.sleep(0)


async def test_all_who_ask_for_a_key_at_once_wait_for_one_call() -> None:
    calls, flights = LookupCalls(), SingleFlight[int, int]()
    asking = [asyncio.create_task(flights.result(7, calls)) for _ in range(500)]
    other = asyncio.create_task(flights.result(8, calls))
    await begun(calls, 2)
    calls.go.set()
    assert set(await asyncio.gather(*asking)) == {1}
    assert await other == 2
    assert calls.count == 2


async def test_a_failure_is_everybodys_and_the_next_to_ask_begins_again() -> None:
    calls, flights = LookupCalls(), SingleFlight[int, int]()
    calls.failure = RetryLater("away")
    calls.go.set()
    results = await asyncio.gather(
        *(flights.result(7, calls) for _ in range(50)), return_exceptions=True
    )
    assert {str(each) for each in results} == {"away"}
    assert calls.count == 1
    calls.failure = None
    assert await flights.result(7, calls) == 2


async def test_one_who_waits_may_be_cancelled_without_ending_the_call_of_the_others() -> None:
    calls, flights = LookupCalls(), SingleFlight[int, int]()
    first, second = (asyncio.create_task(flights.result(7, calls)) for _ in range(2))
    await begun(calls)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    calls.go.set()
    assert await second == 1
    assert calls.cancelled == 0


async def test_a_call_that_nobody_waits_for_ends_and_is_not_joined_any_more() -> None:
    calls, flights = LookupCalls(), SingleFlight[int, int]()
    only = asyncio.create_task(flights.result(7, calls))
    await begun(calls)
    only.cancel()
    await asyncio.wait([only])
    next_one = asyncio.create_task(flights.result(7, calls))
    await begun(calls, 2)
    calls.go.set()
    assert await next_one == 2
    assert calls.cancelled == 1


async def test_a_call_that_a_library_cancels_is_an_error_and_no_end_of_who_waits() -> None:
    async def cancelled() -> int:
        raise asyncio.CancelledError

    with pytest.raises(RetryLater, match="cancelled"):
        await SingleFlight[int, int]().result(7, cancelled)


async def test_a_run_is_shared_by_those_who_asked_before_it_began_and_only_by_those() -> None:
    calls, runs = LookupCalls(), CoalescedRun()
    first = asyncio.create_task(runs.run(calls.run))
    await begun(calls)
    late = [asyncio.create_task(runs.run(calls.run)) for _ in range(500)]
    await asyncio.sleep(0)
    assert not first.done()
    calls.go.set()
    await asyncio.gather(first, *late)
    assert calls.count == 2, "what those who came late ask for may not be in the first answer"


async def test_a_run_that_failed_has_failed_for_all_who_waited_for_it() -> None:
    calls, runs = LookupCalls(), CoalescedRun()
    first = asyncio.create_task(runs.run(calls.run))
    await begun(calls)
    late = [asyncio.create_task(runs.run(calls.run)) for _ in range(50)]
    await asyncio.sleep(0)
    calls.failure = RetryLater("away")
    calls.go.set()
    results = await asyncio.gather(first, *late, return_exceptions=True)
    assert {str(each) for each in results} == {"away"}
    assert calls.count == 2
    calls.failure = None
    await runs.run(calls.run)


async def test_a_run_whose_caller_is_cancelled_is_begun_again_for_the_others() -> None:
    calls, runs = LookupCalls(), CoalescedRun()
    first = asyncio.create_task(runs.run(calls.run))
    await begun(calls)
    late = asyncio.create_task(runs.run(calls.run))
    await asyncio.sleep(0)
    first.cancel()
    await begun(calls, 2)
    calls.go.set()
    await late
    assert calls.count == 2
