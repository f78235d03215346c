from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.agent import Agent
from bridge.agent.attempt import Attempts, Failed
from bridge.agent.contract import CommandTarget
from bridge.agent.shelf import Shelf
from bridge.model.command import Command
from bridge.model.errors import Rejected, RetryLater
from bridge.model.event import Event
from bridge.model.types import Entity, Field, FieldType
from bridge.observe import Handled, Notice

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
THING = Entity("erp", "thing", ("id",), (Field("id", FieldType("integer")),))
EVENT = Event(
    "erp.thing", "create", {"id": 1}, None, {"id": 1}, (), "p", None, NOW, NOW, "erp:p", THING
)


class Declared:
    def __init__(self, **targets: CommandTarget) -> None:
        self._targets = targets

    def target(self, name: str) -> CommandTarget:
        if name not in self._targets:
            raise Rejected("unknown_command", f"{name} is not declared")
        return self._targets[name]


def attempts(agent: Agent, notices: list[Notice], slept: list[float]) -> Attempts:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    def clock() -> datetime:
        return NOW

    declared = Declared(**{"erp.touch": CommandTarget("erp", "thing", ("id",), ("id",))})
    return Attempts(
        agent,
        Shelf({}, {}, {}, clock),
        declared,
        clock=clock,
        sleep=sleep,
        observer=notices.append,
    )


def handler_of(run: Callable[..., Any], **options: Any) -> Agent:
    agent = Agent("tester", **options)
    agent.on("erp.thing")(run)
    return agent


async def test_a_handler_that_fails_now_and_then_is_tried_again_with_back_off() -> None:
    tries: list[int] = []
    notices: list[Notice] = []
    slept: list[float] = []

    async def shaky(event: Event, ctx: Any) -> Command:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return Command("erp.touch", key=1)

    agent = handler_of(shaky)
    answers = await attempts(agent, notices, slept).handle(agent.handlers[0], EVENT)
    assert [answer.record.key for answer in answers] == ['{"id":1}']
    assert len(slept) == 2
    assert [n.outcome for n in notices if isinstance(n, Handled)] == ["retry", "retry", "done"]


async def test_a_handler_that_keeps_failing_is_given_up_with_its_error() -> None:
    slept: list[float] = []

    async def broken(event: Event, ctx: Any) -> None:
        raise ValueError("never")

    agent = handler_of(broken, attempts=3)
    with pytest.raises(Failed) as failed:
        await attempts(agent, [], slept).handle(agent.handlers[0], EVENT)
    assert failed.value.attempts == 3
    assert isinstance(failed.value.__cause__, ValueError)
    assert len(slept) == 2


async def test_a_handler_that_waited_for_something_cancelled_has_failed() -> None:
    """Else its event would be neither done nor parked, and its partition stand still."""

    async def careless(event: Event, ctx: Any) -> None:
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other

    agent = handler_of(careless, attempts=2)
    with pytest.raises(Failed) as failed:
        await attempts(agent, [], []).handle(agent.handlers[0], EVENT)
    assert "cancelled" in str(failed.value.__cause__)


async def test_a_handler_ends_when_the_agent_does() -> None:
    begun = asyncio.Event()

    async def slow(event: Event, ctx: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    agent = handler_of(slow)
    running = asyncio.create_task(attempts(agent, [], []).handle(agent.handlers[0], EVENT))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_plain_handler_that_asks_an_iterator_for_too_much_has_failed() -> None:
    def careless(event: Event, ctx: Any) -> None:
        next(iter(()))

    agent = handler_of(careless, attempts=2)
    async with asyncio.timeout(10):
        with pytest.raises(Failed) as failed:
            await attempts(agent, [], []).handle(agent.handlers[0], EVENT)
    assert "StopIteration" in str(failed.value.__cause__)


async def test_an_outage_of_the_legacy_system_never_uses_up_the_attempts() -> None:
    tries: list[int] = []

    async def unlucky(event: Event, ctx: Any) -> None:
        tries.append(1)
        if len(tries) < 40:
            raise RetryLater("the ERP is away")

    agent = handler_of(unlucky, attempts=2)
    await attempts(agent, [], []).handle(agent.handlers[0], EVENT)
    assert len(tries) == 40


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Command("erp.tuoch", key=1), "unknown_command"),
        (Command("erp.touch", key={"no": 1}), "bad_key"),
        (Command("erp.touch", key=1, args={"x": object()}), "bad_value"),
        ("block it", "bad_answer"),
        ([Command("erp.touch", key=1), 7], "bad_answer"),
    ],
)
async def test_an_answer_that_can_never_be_sealed_is_given_up_at_once(
    answer: Any, code: str
) -> None:
    slept: list[float] = []

    def wrong(event: Event, ctx: Any) -> Any:
        return answer

    agent = handler_of(wrong)
    with pytest.raises(Failed) as failed:
        await attempts(agent, [], slept).handle(agent.handlers[0], EVENT)
    assert isinstance(failed.value.__cause__, Rejected)
    assert failed.value.__cause__.code == code
    assert slept == []


async def test_handling_an_event_again_gives_the_same_command_ids() -> None:
    async def two(event: Event, ctx: Any) -> list[Command]:
        return [Command("erp.touch", key=1), Command("erp.touch", key=1)]

    agent = handler_of(two)
    work = attempts(agent, [], [])
    first = await work.handle(agent.handlers[0], EVENT)
    second = await work.handle(agent.handlers[0], EVENT)
    assert [a.record.id for a in first] == [a.record.id for a in second]
    assert len({a.record.id for a in first}) == 2


async def test_an_expected_version_is_narrowed_to_the_commands_guards() -> None:
    async def guarded(event: Event, ctx: Any) -> Command:
        return Command("erp.touch", key=1, expect=event.version)

    agent = handler_of(guarded)
    answers = await attempts(agent, [], []).handle(agent.handlers[0], EVENT)
    assert answers[0].record.expect == EVENT.version.guarded(("id",))
    assert type(answers[0].record.expect) in {str, type(EVENT.version)}
