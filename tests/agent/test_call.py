from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.agent import Agent
from bridge.agent.contract import CommandTarget
from bridge.agent.fake_reads import FakeReads
from bridge.agent.handler_waiting import HandlerWaiting
from bridge.agent.pipeline.call import CallHandler
from bridge.agent.pipeline.delivery import Delivery, EventGivenUp
from bridge.agent.pipeline.observe import ObserveTries
from bridge.agent.pipeline.retry import Retry
from bridge.log.port import Record
from bridge.model.command import Command
from bridge.model.contained_errors import EscapingError
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.event import Event
from bridge.model.types import Entity, Field, FieldType
from bridge.observe import Handled, Notice
from bridge.waiting import PartWaiting
from tests.waiting import WAIT_TIMEOUT_S

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
THING = Entity("erp", "thing", ("id",), (Field("id", FieldType("integer")),))
EVENT = Event(
    "erp.thing", "create", {"id": 1}, None, {"id": 1}, (), "p", None, NOW, NOW, "erp:p", THING
)


class ListedCommandTargets:
    def __init__(self, **targets: CommandTarget) -> None:
        self._targets = targets

    def target(self, name: str) -> CommandTarget:
        if name not in self._targets:
            raise Rejected("unknown_command", f"{name} is not declared")
        return self._targets[name]


def attempts(
    agent: Agent,
    notices: list[Notice],
    slept: list[float],
    is_ended: Callable[[Any], bool] = lambda _: False,
) -> Retry:
    """A handler that is called, observed and tried again."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    def clock() -> datetime:
        return NOW

    declared = ListedCommandTargets(
        **{"erp.touch": CommandTarget("erp", "thing", ("id",), ("id",))}
    )
    call = CallHandler(
        agent,
        FakeReads({"erp.thing": [{"id": 1}]}, {}, {}, clock),
        declared,
        clock=clock,
        is_ended=is_ended,
    )
    observer = notices.append
    waiting = HandlerWaiting(agent.name, PartWaiting("agent", agent.name, observer), observer)
    return Retry(
        agent,
        waiting,
        observer,
        sleep=sleep,
        rest=sleep,
        then=ObserveTries(agent, observer, then=call),
    )


def delivery(agent: Agent) -> Delivery:
    return Delivery(EVENT, agent.handlers[0], Record("t", 0, 0, 0, None, None, ()))


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
    answers = await attempts(agent, notices, slept)(delivery(agent))
    assert [answer.record.key for answer in answers] == ['{"id":1}']
    assert len(slept) == 2
    assert [n.outcome for n in notices if isinstance(n, Handled)] == ["retry", "retry", "done"]


async def test_a_handler_that_keeps_failing_is_given_up_with_its_error() -> None:
    slept: list[float] = []

    async def broken(event: Event, ctx: Any) -> None:
        raise ValueError("never")

    agent = handler_of(broken, attempts=3)
    with pytest.raises(EventGivenUp) as failed:
        await attempts(agent, [], slept)(delivery(agent))
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
    with pytest.raises(EventGivenUp) as failed:
        await attempts(agent, [], [])(delivery(agent))
    assert "cancelled" in str(failed.value.__cause__)


async def test_a_handler_ends_when_the_agent_does() -> None:
    begun = asyncio.Event()

    async def slow(event: Event, ctx: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    agent = handler_of(slow)
    work = attempts(agent, [], [], lambda _: True)
    running = asyncio.create_task(work(delivery(agent)))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_plain_handler_that_asks_an_iterator_for_too_much_has_failed() -> None:
    def careless(event: Event, ctx: Any) -> None:
        next(iter(()))

    agent = handler_of(careless, attempts=2)
    async with asyncio.timeout(10):
        with pytest.raises(EventGivenUp) as failed:
            await attempts(agent, [], [])(delivery(agent))
    assert "StopIteration" in str(failed.value.__cause__)


async def careless_of_its_own_task(event: Event, ctx: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


def raiser(error: BaseException) -> Callable[[Event, Any], Any]:
    async def fail(event: Event, ctx: Any) -> None:
        raise error

    return fail


def plain_raiser(error: BaseException) -> Callable[[Event, Any], Any]:
    def fail(event: Event, ctx: Any) -> None:
        raise error

    return fail


def yielder(error: BaseException) -> Callable[[Event, Any], Any]:
    async def fail(event: Event, ctx: Any) -> Any:
        yield Command("erp.touch", key=1)
        raise error

    return fail


ENDINGS = (
    SystemExit(0),
    SystemExit("bye"),
    GeneratorExit(),
    BaseExceptionGroup("several", [SystemExit(1), ValueError()]),
    asyncio.CancelledError(),
    type("Unusual", (BaseException,), {})(),
)


@pytest.mark.parametrize(
    "run",
    [
        careless_of_its_own_task,
        *(form(error) for form in (raiser, plain_raiser, yielder) for error in ENDINGS),
    ],
)
async def test_whatever_a_handler_ends_by_it_has_failed_and_is_tried_again(
    run: Callable[..., Any],
) -> None:
    """Raised on, each of these ends the bridge or leaves the event's partition standing still."""
    agent = handler_of(run, attempts=2)
    slept: list[float] = []
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        with pytest.raises(EventGivenUp) as failed:
            await attempts(agent, [], slept)(delivery(agent))
    assert failed.value.attempts == 2
    assert isinstance(failed.value.__cause__, Exception)
    assert len(slept) == 1


async def test_a_handler_that_a_library_cancelled_and_that_ended_well_has_not_failed() -> None:
    """Time-outs of older libraries cancel the task and don't take it back."""

    async def in_time(event: Event, ctx: Any) -> Command:
        with contextlib.suppress(asyncio.CancelledError):
            await careless_of_its_own_task(event, ctx)
        return Command("erp.touch", key=1)

    agent = handler_of(in_time)
    [answer] = await attempts(agent, [], [])(delivery(agent))
    assert answer.record.name == "erp.touch"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class Called:
    async def __call__(self, event: Event, ctx: Any) -> Command:
        return await reading(event, ctx)


class CalledPlain:
    def __call__(self, event: Event, ctx: Any) -> Any:
        return reading(event, ctx)


async def reading(event: Event, ctx: Any) -> Command:
    assert (await ctx.get("erp.thing", 1)).id == 1
    return Command("erp.touch", key=1)


async def yielding(event: Event, ctx: Any) -> Any:
    assert (await ctx.get("erp.thing", 1)).id == 1
    yield Command("erp.touch", key=1)


def timed(run: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(event: Event, ctx: Any) -> Any:
        return run(event, ctx)

    return wrapper


def in_a_loop_of_its_own(event: Event, ctx: Any) -> Command:
    return asyncio.run(reading(event, ctx))


@pytest.mark.parametrize(
    "run",
    [
        reading,
        yielding,
        timed(reading),
        timed(yielding),
        functools.wraps(reading)(timed(reading)),
        functools.partial(reading),
        Called(),
        CalledPlain(),
        lambda event, ctx: reading(event, ctx),  # noqa: PLW0108 - what is tested
        in_a_loop_of_its_own,
    ],
)
async def test_an_async_function_reads_whatever_it_is_wrapped_in(run: Callable[..., Any]) -> None:
    agent = handler_of(run)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        answers = await attempts(agent, [], [])(delivery(agent))
    assert [answer.record.name for answer in answers] == ["erp.touch"]


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda _event: None, "two arguments"),
        (lambda: None, "two arguments"),
        (lambda _event, _ctx, _more: None, "two arguments"),
        ("check", "can't be called"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused_where_it_is_declared(
    run: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        handler_of(run)


def test_on_without_a_call_is_refused_where_it_stands() -> None:
    agent = Agent("tester")
    with pytest.raises(ConfigurationError, match=r"`on` was given reading instead of an entity"):
        agent.on(reading)  # type: ignore[arg-type]


def test_a_where_that_is_neither_function_nor_fields_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="where is a str"):
        Agent("tester").on("erp.thing", where="status")  # type: ignore[arg-type]


def test_a_where_that_ends_the_program_fails_its_event_only() -> None:
    def leave(event: Event) -> bool:
        raise SystemExit(0)

    agent = Agent("tester")
    agent.on("erp.thing", where=leave)(reading)
    with pytest.raises(EscapingError, match="`where` of handler 'reading' raised SystemExit: 0"):
        agent.handlers[0].wants(EVENT)


async def test_an_outage_of_the_legacy_system_never_uses_up_the_attempts() -> None:
    tries: list[int] = []

    async def unlucky(event: Event, ctx: Any) -> None:
        tries.append(1)
        if len(tries) < 40:
            raise RetryLater("the ERP is away")

    agent = handler_of(unlucky, attempts=2)
    await attempts(agent, [], [])(delivery(agent))
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
    with pytest.raises(EventGivenUp) as failed:
        await attempts(agent, [], slept)(delivery(agent))
    assert isinstance(failed.value.__cause__, Rejected)
    assert failed.value.__cause__.code == code
    assert slept == []


async def test_handling_an_event_again_gives_the_same_command_ids() -> None:
    async def two(event: Event, ctx: Any) -> list[Command]:
        return [Command("erp.touch", key=1), Command("erp.touch", key=1)]

    agent = handler_of(two)
    work = attempts(agent, [], [])
    first = await work(delivery(agent))
    second = await work(delivery(agent))
    assert [a.record.id for a in first] == [a.record.id for a in second]
    assert len({a.record.id for a in first}) == 2


async def test_an_expected_version_is_narrowed_to_the_commands_guards() -> None:
    async def guarded(event: Event, ctx: Any) -> Command:
        return Command("erp.touch", key=1, expect=event.version)

    agent = handler_of(guarded)
    answers = await attempts(agent, [], [])(delivery(agent))
    assert answers[0].record.expect == EVENT.version.guarded(("id",))
    assert type(answers[0].record.expect) in {str, type(EVENT.version)}
