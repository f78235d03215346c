"""Where an event goes whose handler keeps failing: parked, its key held back, or the agent's end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.group import agent_group
from bridge.agent.pipeline.park import AgentStopped
from bridge.model.system_records import DeadLetter
from tests.agent.running_agent import TOPIC, running
from tests.agent.sqlite_erp import ErpHarness
from tests.waiting import WAIT_TIMEOUT_S, until


async def test_a_handler_that_keeps_failing_parks_its_event_and_the_rest_goes_on(
    here: ErpHarness,
) -> None:
    agent = Agent("brittle", attempts=2)

    @agent.on("erp.sales_order")
    async def fragile(event: Event, ctx: Context) -> Command:
        if event.after.order_no == "2":
            raise ValueError("can't be")
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    await here.publish("sales_order", 1, [here.order(n, 1, 1) for n in range(1, 6)])

    async def done() -> bool:
        return len(await here.records("command")) == 4 and len(await here.records("dead")) == 1

    async with running(here, agent):
        await until(done)
    [letter] = await here.records("dead")
    assert isinstance(letter, DeadLetter)
    assert (letter.kind, letter.source, letter.handler) == ("event", "brittle", "fragile")
    assert (letter.error, letter.attempts) == ("ValueError", 2)
    assert letter.reason == "ValueError: can't be"
    assert letter.topic == TOPIC
    assert letter.event_id is not None
    assert letter.value is not None


async def test_park_key_holds_back_later_events_of_the_key_even_after_a_restart(
    here: ErpHarness,
) -> None:
    agent = Agent("careful", attempts=1, on_failure="park_key")

    @agent.on("erp.sales_order")
    async def fragile(event: Event, ctx: Context) -> Command:
        if event.after.note == "bad":
            raise ValueError("can't be")
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    dead_letter, two = here.order(1, 1, 1), here.order(2, 1, 1)
    await here.publish("sales_order", 2, [{**dead_letter, "ztext": "bad"}, two])

    async def first() -> bool:
        return len(await here.records("command")) == 1 and len(await here.records("dead")) == 1

    async with running(here, agent):
        await until(first)
    await here.publish("sales_order", 2, [dead_letter, two])

    async def second() -> bool:
        return len(await here.records("command")) == 2 and len(await here.records("dead")) == 2

    async with running(here, agent):
        await until(second)
    letters = [d for d in await here.records("dead") if isinstance(d, DeadLetter)]
    assert [letter.error for letter in letters] == ["ValueError", "Rejected"]
    assert {letter.key for letter in letters} == {letters[0].key}


async def test_park_key_holds_back_a_key_that_another_member_parked(here: ErpHarness) -> None:
    """Both run; one parks keys and ends, and the other takes its partitions over."""

    def fragile() -> Agent:
        agent = Agent("careful", attempts=1, on_failure="park_key")

        @agent.on("erp.sales_order")
        async def check(event: Event, ctx: Context) -> Command:
            if event.after.note == "bad":
                raise ValueError("can't be")
            return Command("erp.note_order", key=event.key, args={"reason": "seen"})

        return agent

    rows = [here.order(n, 1, 1) for n in range(1, 9)]

    def letters(count: int) -> Callable[[], Any]:
        async def are_written() -> bool:
            return len(await here.records("dead")) == count

        return are_written

    async with running(here, fragile()):
        async with running(here, fragile()):
            await until(lambda: shared(here, "careful"))
            await here.publish("sales_order", 2, [{**row, "ztext": "bad"} for row in rows])
            await until(letters(8))
        await here.publish("sales_order", 2, rows)
        await until(letters(16))
    assert await here.records("command") == []


async def shared(here: ErpHarness, agent: str) -> bool:
    """Whether two members are in the agent's group."""
    group = (await here.log.groups()).get(agent_group(here.bridge, agent))
    return group is not None and len(group.members) == 2


async def test_stop_ends_the_agent_in_front_of_the_event_and_keeps_what_came_before(
    here: ErpHarness,
) -> None:
    agent = Agent("strict", attempts=1, on_failure="stop", concurrency=1)

    @agent.on("erp.sales_order")
    async def fragile(event: Event, ctx: Context) -> Command:
        if event.after.note == "bad":
            raise ValueError("can't be")
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    letter = here.order(1, 1, 1)
    await here.publish("sales_order", 2, [letter, {**letter, "ztext": "bad"}, letter])
    async with running(here, agent) as task:
        with pytest.raises(AgentStopped, match="ValueError: can't be"):
            await asyncio.wait_for(asyncio.shield(task), WAIT_TIMEOUT_S)
    assert len(await here.records("command")) == 1
    assert await here.records("dead") == []


async def test_a_task_that_closes_its_handler_parks_the_key_too(here: ErpHarness) -> None:
    """The agent ended at the same event, at each start."""
    agent = Agent("exiter", attempts=1, on_failure="park_key")

    async def leave() -> None:
        raise GeneratorExit

    @agent.on("erp.sales_order")
    async def exits(event: Event, ctx: Context) -> Command:
        if event.after.note == "bad":
            await asyncio.create_task(leave())
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    first, second = here.order(1, 1, 1), here.order(2, 1, 1)
    await here.publish("sales_order", 1, [{**first, "ztext": "bad"}, first, second])

    async def done() -> bool:
        return len(await here.records("command")) == 1 and len(await here.records("dead")) == 2

    async with running(here, agent):
        await until(done)
    errors = [each.error for each in await here.records("dead") if isinstance(each, DeadLetter)]
    assert errors == ["EscapingError", "Rejected"]


async def test_a_handler_that_fails_after_its_partition_is_lost_parks_nothing(
    here: ErpHarness,
) -> None:
    """Its letter is never written: here the key would be parked for good, and nowhere else."""
    agent = Agent("careful", attempts=1, on_failure="park_key")
    begun, go_on = threading.Event(), threading.Event()

    @agent.on("erp.sales_order")
    async def fails(event: Event, ctx: Context) -> None:
        begun.set()
        go_on.wait(WAIT_TIMEOUT_S)
        raise ValueError("can't be")

    await here.publish("sales_order", 1, [here.order(1, 1, 1)])
    async with running(here, agent) as task:
        await until(begun.is_set)
        runner = task.get_coro().cr_frame.f_locals["self"]  # type: ignore[union-attr]
        await runner._partitions.revoke_all()
        go_on.set()
        await until(lambda: runner._schedule.slots.running == 0)
        assert runner._parked._unwritten == {}
