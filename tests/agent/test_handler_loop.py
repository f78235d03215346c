"""What handlers do to the event loop that they run in."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.pipeline.park import AgentStopped
from bridge.model.command import CommandRecord
from bridge.observe import HandlerBlocks, Notice
from tests.agent.running_agent import TOPIC, running
from tests.agent.sqlite_erp import ErpHarness
from tests.waiting import WAIT_TIMEOUT_S, until

BLOCKED_CALL = 10
"""Calls of the handler after which one blocks its loop until the test has seen what it does."""


async def blocked_handlers_do_no_harm(here: ErpHarness, session_timeout: float) -> None:
    """Two members whose handlers block their loops, one of them for longer than its session."""
    calls: list[str] = []
    seen = threading.Event()

    def sleeper() -> Agent:
        agent = Agent("sleeper")

        @agent.on("erp.sales_order")
        async def sleepy(event: Event, ctx: Context) -> Command:
            calls.append(event.after.order_no)
            if len(calls) == BLOCKED_CALL:
                seen.wait(WAIT_TIMEOUT_S)
            time.sleep(0.02)
            return Command("erp.note_order", key=event.key, args={"reason": "seen"})

        return agent

    events = 30
    await here.publish("sales_order", 1, [here.order(n, n, 5) for n in range(1, events + 1)])

    async def written() -> int:
        return len(await here.records("command"))

    async def some_written() -> bool:
        return await written() > 0

    async def all_written() -> bool:
        return await written() == events

    notices: list[Notice] = []

    def blocked() -> list[HandlerBlocks]:
        return [notice for notice in notices if isinstance(notice, HandlerBlocks)]

    async with running(here, sleeper(), notices, session_timeout=session_timeout):
        await until(lambda: len(calls) == BLOCKED_CALL)
        # What was finished before is written, as far as the handlers' loop could say so before it
        # blocked; and it is told who blocks.
        await until(some_written)
        await until(blocked)
        safe = await written()
        async with running(here, sleeper(), notices, session_timeout=session_timeout):
            await asyncio.sleep(session_timeout)
            seen.set()
            await until(all_written)
    # Only what wasn't written when the other member came may have run there again: the blocked one, and
    # those that had run of which the blocked loop had no chance to say so.
    assert len(calls) <= events + BLOCKED_CALL - safe
    assert {(notice.agent, notice.handler) for notice in blocked()} == {("sleeper", "sleepy")}
    assert f"{Path(__file__).name}:" in blocked()[0].where


async def test_handlers_that_block_cost_neither_membership_nor_commands(here: ErpHarness) -> None:
    await blocked_handlers_do_no_harm(here, session_timeout=4.0)


@pytest.mark.parametrize("ending", [SystemExit, GeneratorExit])
async def test_a_task_that_a_handler_began_ends_nothing_when_it_exits(
    here: ErpHarness, ending: type[BaseException]
) -> None:
    agent = Agent("exiter", attempts=2)

    async def leave() -> None:
        raise ending(0)

    @agent.on("erp.sales_order")
    async def exits(event: Event, ctx: Context) -> Command:
        if event.after.order_no == "1":
            await asyncio.create_task(leave())
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    await here.publish("sales_order", 1, [here.order(n, 1, 1) for n in range(1, 6)])

    async def done() -> bool:
        return len(await here.records("command")) == 4 and len(await here.records("dead")) == 1

    async with running(here, agent):
        await until(done)


async def test_a_handler_that_cancels_all_tasks_of_its_loop_loses_no_event(
    here: ErpHarness,
) -> None:
    """As code does that thinks the loop is its own: those that had not begun ended the agent."""
    agent = Agent("canceller")
    cancelled = 0

    @agent.on("erp.sales_order")
    async def cancels(event: Event, ctx: Context) -> Command:
        nonlocal cancelled
        if event.after.order_no != "1" and not cancelled:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            cancelled = len([task.cancel() for task in others])
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    def written(count: int) -> Callable[[], Any]:
        async def done() -> bool:
            return len(await here.records("command")) == count

        return done

    await here.publish("sales_order", 1, [here.order(1, 1, 1)])
    async with running(here, agent) as task:
        await until(written(1))
        await here.publish("sales_order", 1, [here.order(n, 1, 1) for n in range(2, 30)])
        await until(lambda: task.done() or written(29)())
        assert not task.done()
    assert cancelled


async def test_a_task_that_closes_its_handler_leaves_what_another_one_answered(
    here: ErpHarness,
) -> None:
    """That one's command was lost, until somebody handed the event back."""
    agent = Agent("exiter", attempts=1)

    async def leave() -> None:
        raise GeneratorExit

    @agent.on("erp.sales_order")
    async def answers(event: Event, ctx: Context) -> Command:
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    @agent.on("erp.sales_order")
    async def exits(event: Event, ctx: Context) -> None:
        await asyncio.create_task(leave())

    await here.publish("sales_order", 1, [here.order(1, 1, 1)])

    async def done() -> bool:
        return len(await here.records("dead")) == 1

    async with running(here, agent):
        await until(done)
    [command] = await here.records("command")
    assert isinstance(command, CommandRecord)
    assert command.handler == "answers"


async def test_stop_says_at_which_event_a_task_closed_its_handler(here: ErpHarness) -> None:
    agent = Agent("exiter", on_failure="stop")

    async def leave() -> None:
        raise GeneratorExit

    @agent.on("erp.sales_order")
    async def exits(event: Event, ctx: Context) -> None:
        await asyncio.create_task(leave())

    await here.publish("sales_order", 1, [here.order(1, 1, 1)])
    async with running(here, agent) as task:
        with pytest.raises(AgentStopped, match=f"offset 0 of {TOPIC}"):
            await asyncio.wait_for(asyncio.shield(task), WAIT_TIMEOUT_S)


async def test_an_agent_ends_although_a_handler_blocks_its_loop(here: ErpHarness) -> None:
    """What is finished is written; the event that isn't is handled again by the next one."""
    agent = Agent("stuck")
    go_on = threading.Event()
    begun = threading.Event()

    @agent.on("erp.sales_order")
    async def stuck(event: Event, ctx: Context) -> Command:
        begun.set()
        go_on.wait(WAIT_TIMEOUT_S)
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    await here.publish("sales_order", 1, [here.order(1, 1, 1)])
    try:
        async with running(here, agent):
            await until(begun.is_set)
        assert not go_on.is_set()
        assert await here.records("command") == []
    finally:
        go_on.set()

    async def first() -> bool:
        return len(await here.records("command")) == 1

    async with running(here, agent):
        await until(first)
