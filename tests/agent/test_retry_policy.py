"""Waits between tries: what a person would choose, and what isn't waited for."""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import Command
from bridge.agent import Agent, Context
from bridge.agent.error_trace import error_trace
from bridge.agent.handler_slots import HandlerSlots
from bridge.agent.pipeline.delivery import EventGivenUp
from bridge.agent.pipeline.park import AgentStopped
from bridge.agent.retry_policy import (
    Backoff,
    never_passes,
    wait_after_failure,
    wait_while_unavailable,
)
from bridge.agent.runner import AgentRunner
from bridge.model.command import CommandRecord
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.event import Event
from bridge.model.system_records import DeadLetter
from bridge.observe import Handled, HandlerFailed, Notice
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import ErpHarness
from tests.agent.test_call import attempts, delivery, handler_of
from tests.example_counts import examples
from tests.waiting import until

MINUTES = (60.0, 300.0)


def waits_of(agent: Agent, chance: float = 0.5) -> list[float]:
    """Seconds between the tries of an agent, as far as it goes."""
    backoff = Backoff(agent.first_wait_s, agent.longest_wait_s)
    return [wait_after_failure(backoff, n, lambda: chance) for n in range(1, agent.attempts)]


def test_a_short_outage_parks_nothing_unless_somebody_wants_it_to() -> None:
    least, most = sum(waits_of(Agent("a"), 0.0)), sum(waits_of(Agent("a"), 0.999))
    assert MINUTES[0] <= least <= most <= MINUTES[1]
    assert waits_of(Agent("a"))[0] <= 1.5, "a hiccup isn't waited for long"
    assert waits_of(Agent("a", attempts=3, first_wait_s=0, longest_wait_s=0)) == [0, 0]


@settings(derandomize=True, max_examples=examples(200), deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e4))
def test_waits_grow_with_jitter_up_to_the_longest(
    failures: int, chance: float, first: float
) -> None:
    backoff = Backoff(first, max(first, 60.0))
    wait = wait_after_failure(backoff, failures, lambda: chance)
    assert 0 <= wait <= backoff.longest * 1.25
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


def test_a_system_that_asks_for_time_gets_it() -> None:
    assert (
        wait_while_unavailable(Backoff(0.1, 30), RetryLater("busy", after=40), 1, lambda: 0.0) == 40
    )


@pytest.mark.parametrize(("first", "longest"), [(-1, 5), (5, 1), (float("nan"), 1), (1, 1e9)])
def test_waits_that_make_no_sense_are_refused(first: float, longest: float) -> None:
    with pytest.raises(ConfigurationError, match="first_wait_s"):
        Agent("a", first_wait_s=first, longest_wait_s=longest)


def error_of(text: str) -> Exception:
    try:
        exec(text, {})  # noqa: S102 - what handlers are made of
    except Exception as error:  # noqa: BLE001 - any of them
        return error
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("misspelt", True),
        ("import no_such_module", True),
        ("'text'.no_such_method()", True),
        ("raise NotImplementedError", True),
        ("None.total", False),
        ("None + 1", False),
        ("{}['row']", False),
        ("raise AttributeError", False),
        ("raise ConnectionError", False),
        ("raise TimeoutError", False),
    ],
)
def test_a_mistake_of_the_program_never_passes_a_missing_row_may(text: str, never: bool) -> None:
    assert never_passes(error_of(text)) is never
    assert never_passes(Rejected("bad_answer", "x"))


async def test_each_try_says_why_it_failed_and_when_the_next_one_is() -> None:
    async def fails(event: Event, ctx: Any) -> None:
        raise ConnectionError("the carrier's service is away")

    notices: list[Notice] = []
    slept: list[float] = []
    agent = handler_of(fails, attempts=4, first_wait_s=2, longest_wait_s=5)
    tried = attempts(agent, notices, slept)
    tried._chance = iter((0.0, 0.5, 0.9)).__next__
    with pytest.raises(EventGivenUp, match="fails") as given_up:
        await tried(delivery(agent))
    assert given_up.value.__cause__ is not None
    assert error_trace(given_up.value.__cause__).count("in fails") == 1
    failed = [n for n in notices if isinstance(n, HandlerFailed)]
    assert [n.failures for n in failed] == [1, 2, 3]
    assert [n.wait for n in failed] == [round(wait, 1) for wait in slept]
    assert slept == [2 * 0.75, 4 * 1.0, 5 * 1.2]
    assert (failed[0].key, failed[0].entity) == ("1", "erp.thing")
    assert [n.traceback.count("in fails") for n in failed] == [1, 1, 1], "not those of tries before"


async def test_how_long_a_handler_took_is_told_of_each_try_without_the_waits_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("bridge.agent.pipeline.observe.perf_counter", lambda: now[0])
    left = iter((ConnectionError("away"), ConnectionError("still away")))

    async def shaky(event: Event, ctx: Any) -> None:
        now[0] += 1.0
        if error := next(left, None):
            raise error

    async def sleep(seconds: float) -> None:
        now[0] += 1000.0

    notices: list[Notice] = []
    agent = handler_of(shaky, attempts=3)
    tried = attempts(agent, notices, [])
    tried._rest = sleep
    await tried(delivery(agent))
    took = [(n.outcome, n.seconds) for n in notices if isinstance(n, Handled)]
    assert took == [("retry", 1.0), ("retry", 1.0), ("done", 1.0)]

    left = iter((ConnectionError("away"),) * 3)
    notices.clear()
    with pytest.raises(EventGivenUp):
        await tried(delivery(agent))
    took = [(n.outcome, n.seconds) for n in notices if isinstance(n, Handled)]
    assert took == [("retry", 1.0), ("retry", 1.0), ("parked", 1.0)]


async def test_an_event_that_waits_gives_its_place_to_other_keys(here: ErpHarness) -> None:
    """With one handler at a time, each failing event held up all others for as long as it waited."""
    seen: list[str] = []
    is_back = False
    agent = Agent("watch", concurrency=1, first_wait_s=0.05, longest_wait_s=0.05, attempts=1000)

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        number = event.after.order_no
        seen.append(f"{number} {event.after.total}")
        if number == "1" and not is_back:
            raise ConnectionError("away")

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    async with running(here, agent):
        await until(lambda: len(seen) > 1)
        await here.publish("sales_order", 2, [dict(here_row(1), netwr=6)])
        await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(2, 6)])
        await until(lambda: {"2 5.00", "3 5.00", "4 5.00", "5 5.00"} <= set(seen))
        assert "1 6.00" not in seen, "later events of its key wait"
        is_back = True
        await until(lambda: "1 6.00" in seen)
    assert await here.records("dead") == []


def here_row(number: int) -> dict[str, Any]:
    return {
        "vbeln": f"{number:010}",
        "kunnr": f"{1:010}",
        "gbstk": "A",
        "netwr": 5,
        "lifsk": None,
        "ztext": None,
    }


async def test_slots_are_never_more_than_their_limit_whatever_rests() -> None:
    slots: HandlerSlots[int] = HandlerSlots(2)
    slots.start()
    slots.start()
    slots.rest(1)
    assert slots.has_room()
    slots.start()
    back = asyncio.create_task(slots.resume(1))
    await asyncio.sleep(0)
    assert not back.done()
    slots.end(2)
    await back
    assert slots.running == 2
    slots.rest(1)
    gone = asyncio.create_task(slots.resume(1))
    await asyncio.sleep(0)
    assert gone.done()
    assert slots.running == 2
    slots.rest(3)
    slots.rest(3)
    slots.end(3)
    assert slots.running == 1


async def test_a_place_that_one_gives_up_goes_to_the_one_that_waits_for_it() -> None:
    slots: HandlerSlots[int] = HandlerSlots(1)
    slots.start()
    slots.rest(1)
    slots.start()
    back = asyncio.create_task(slots.resume(1))
    await asyncio.sleep(0)
    slots.rest(2)
    assert not slots.has_room()
    await back
    assert slots.running == 1


async def test_a_letter_says_where_its_handler_failed(here: ErpHarness) -> None:
    agent = Agent("watch")

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        password = "hunter2"  # noqa: F841 - a value that must not be shown
        event.no_such_thing  # type: ignore[attr-defined]  # noqa: B018

    notices: list[Notice] = []
    await here.publish("sales_order", 1, [here.order(4711, 1, 5)])
    async with running(here, agent, notices):

        async def parked() -> list[Any]:
            return await here.records("dead")

        await until(parked)
    [letter] = await here.records("dead")
    assert isinstance(letter, DeadLetter)
    assert letter.attempts == 1, "given up at once"
    assert "event.no_such_thing" in (letter.traceback or "")
    assert "handling.py" not in (letter.traceback or "")
    from bridge.observe import DeadLetterWritten as Notified

    [notice] = [n for n in notices if isinstance(n, Notified)]
    assert (notice.key, notice.handler, notice.entity) == ("4711", "check", "erp.sales_order")
    assert notice.show == f"bridgectl dead show {letter.event_id}"


async def test_an_agent_that_stops_says_where_its_handler_failed(here: ErpHarness) -> None:
    """Nothing of the event is written then, so that the log is the only place for it."""
    agent = Agent("watch", on_failure="stop", attempts=2)

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        raise ConnectionError("away")

    notices: list[Notice] = []
    await here.publish("sales_order", 1, [here.order(4711, 1, 5)])
    async with running(here, agent, notices) as task:
        await until(task.done)
    assert isinstance(task.exception(), AgentStopped)
    first, last = [n for n in notices if isinstance(n, HandlerFailed)]
    assert first.wait is not None
    assert last.wait is None
    assert (last.key, last.failures, last.attempts) == ("4711", 2, 2)
    assert last.traceback.count("in check") == 1


async def test_whatever_befalls_handlers_that_wait_each_event_has_its_commands_once_and_in_order(
    here: ErpHarness,
) -> None:
    """Partitions come and go, tasks are cancelled, while handlers fail and wait with few places."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    versions, keys = 15, 6
    calls = 0

    def shaky() -> Agent:
        agent = Agent("shaky", concurrency=2, attempts=10_000, first_wait_s=0, longest_wait_s=0.02)

        @agent.on("erp.sales_order")
        async def check(event: Event, ctx: Context) -> Command:
            nonlocal calls
            calls += 1
            what = chance.random()
            if what < 0.3:
                raise ConnectionError("away")
            if what < 0.4:
                raise RetryLater("away")
            if what < 0.45:
                for task in asyncio.all_tasks():  # as a library does that thinks the loop its own
                    task.cancel()
            await asyncio.sleep(chance.random() / 100)
            return Command("erp.note_order", event.key, {"reason": str(event.after.total)})

        return agent

    rows = [here.order(number, 1, 1) for number in range(1, keys + 1)]
    await here.publish("sales_order", 1, rows)
    for version in range(2, versions + 1):
        await here.publish("sales_order", 2, [{**row, "netwr": version} for row in rows])

    def runner_of(task: asyncio.Task[None]) -> AgentRunner:
        return task.get_coro().cr_frame.f_locals["self"]  # type: ignore[union-attr,no-any-return]

    def called(least: int) -> bool:
        return calls > least

    async def written() -> bool:
        return len(await here.records("command")) >= versions * keys

    async with running(here, shaky()) as task:
        runner = runner_of(task)
        for count in (15, 40, 65):
            await until(partial(called, count))
            async with running(here, shaky()):
                await until(partial(called, count + 20))
        await until(written)
        await until(
            lambda: runner._schedule.slots.running == 0 and not runner._schedule.slots._resting
        )
        assert not runner._schedule.slots._resuming
    order: dict[str, list[str]] = {}
    for record in await here.records("command"):
        assert isinstance(record, CommandRecord)
        order.setdefault(record.key, []).append(json.loads(record.args)["reason"])
    expected = [f"{version}.00" for version in range(1, versions + 1)]
    assert order == {f'{{"order_no":"{number}"}}': expected for number in range(1, keys + 1)}
