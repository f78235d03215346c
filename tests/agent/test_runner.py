from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from bridge import Agent, Command, Event, provenance
from bridge.agent import Context
from bridge.agent.group import agent_group
from bridge.agent.pipeline.park import AgentStopped
from bridge.agent.retry_policy import Backoff
from bridge.agent.runner import AgentRunner
from bridge.gateway import Gateway, Gateways
from bridge.log.port import TopicPartition
from bridge.model.command import CommandRecord
from bridge.model.errors import BridgeError, Fenced, OutcomeUnknown, RetryLater
from bridge.model.specs import SystemLimits
from bridge.model.system_records import DeadLetter
from bridge.observe import GroupMoved, Handled, HandlerBlocks, Notice, PartState, RowsRead
from bridge.wiring.registry_events import RegistryEventDecoder
from connectors.journal import connector
from tests.agent.sqlite_erp import BRIDGE, ErpHarness, FakeCommandTargets, open_erp
from tests.capture.test_failures import BreakingLog
from tests.log.removal import make_again_embedded
from tests.waiting import WAIT_TIMEOUT_S, ended, until

TOPIC = "acme.erp.sales_order"
BLOCKED_CALL = 10
"""Calls of the handler after which one blocks its loop until the test has seen what it does."""
QUICK = Backoff(0.001, 0.01)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ErpHarness]:
    async with open_erp(tmp_path) as erp:
        yield erp


@asynccontextmanager
async def running(
    here: ErpHarness,
    agent: Agent,
    notices: list[Notice] | None = None,
    registry: Any = None,
    *,
    session_timeout: float = 10.0,
    reads: Any = None,
    commands: Any = None,
) -> AsyncIterator[asyncio.Task[None]]:
    observer = (notices if notices is not None else []).append
    gateway = Gateway(
        "erp", await connector.reader(here.system), here.tables, SystemLimits(), observer=observer
    )
    runner = AgentRunner(
        agent,
        bridge=here.bridge,
        log=here.log,
        codec=here.codec,
        events=RegistryEventDecoder(registry or here.registry, {}),
        reads=reads or Gateways({"erp": gateway}),
        commands=commands or FakeCommandTargets(),
        observer=observer,
        backoff=QUICK,
        session_timeout=session_timeout,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield task
    finally:
        await ended(task, stop)
        await gateway.close()


def watcher() -> Agent:
    agent = Agent("credit-watch", version="1")

    @agent.on("erp.sales_order", ops={"create", "update"})
    async def check(event: Event, ctx: Context) -> Command | None:
        order = event.after
        customer = await ctx.get("erp.customer", order.customer_id)
        if customer.exposure + order.total > customer.credit_limit:
            return Command(
                "erp.block_order",
                key=event.key,
                args={"reason": "credit limit"},
                expect=event.version,
            )
        return None

    return agent


async def test_events_become_commands_with_one_query_for_the_batch(here: ErpHarness) -> None:
    here.customers(100)
    orders = [here.order(n, n, 5 if n % 2 else 1) for n in range(1, 101)]
    await here.publish("sales_order", 1, orders)
    notices: list[Notice] = []

    async def fifty() -> bool:
        return len(await here.records("command")) == 50

    async with running(here, watcher(), notices):
        await until(fifty)
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert {c.key for c in commands} == {f'{{"order_no":"{n}"}}' for n in range(1, 101, 2)}
    assert {(c.name, c.agent, c.agent_version, c.handler) for c in commands} == {
        ("erp.block_order", "credit-watch", "1", "check")
    }
    reads = [notice for notice in notices if isinstance(notice, RowsRead)]
    assert sum(read.reads for read in reads) == 100
    # The log hands over one partition after the other; each part is one query.
    assert sum(read.queries for read in reads) <= 2


async def test_offsets_and_commands_move_together_and_a_second_run_adds_nothing(
    here: ErpHarness,
) -> None:
    here.customers(3)
    await here.publish("sales_order", 1, [here.order(n, n, 5) for n in (1, 2, 3)])

    async def three() -> bool:
        return len(await here.records("command")) == 3

    async with running(here, watcher()):
        await until(three)
    places = [TopicPartition(TOPIC, number) for number in range(2)]
    committed = await here.log.committed(agent_group(BRIDGE, "credit-watch"), places)
    ends = await here.log.end_offsets(places)
    assert {p: committed[p] or 0 for p in places} == dict(ends)
    # Both partitions go on: whatever was behind the offsets would be handled before these.
    await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(4, 10)])

    async def nine() -> bool:
        return len(await here.records("command")) >= 9

    async with running(here, watcher()):
        await until(nine)
    assert len(await here.records("command")) == 9


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("before", RetryLater),
        ("before", OutcomeUnknown),
        ("before", Fenced),
        ("after", OutcomeUnknown),
    ],
)
async def test_a_transaction_that_failed_or_whose_answer_was_lost_adds_and_loses_nothing(
    here: ErpHarness, when: str, error: type[BridgeError]
) -> None:
    breaking = BreakingLog(here.log)
    here = replace(here, log=breaking)
    here.customers(3)
    broken: list[Exception] = getattr(breaking, when)
    broken += [error("it broke"), error("it broke")]
    await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(1, 10)])

    async def nine() -> bool:
        return len(await here.records("command")) >= 9

    async with running(here, watcher()):
        await until(nine)
        await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(10, 13)])
        await until(lambda: twelve(here))
    assert not broken
    commands = [c.key for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert sorted(commands) == sorted(f'{{"order_no":"{n}"}}' for n in range(1, 13))


@pytest.mark.parametrize("action", ["decode", "handle"])
async def test_what_an_agent_waits_for_is_told_and_so_is_its_end(
    here: ErpHarness, action: str
) -> None:
    """It was tried again and again without a word."""
    away = True
    agent = Agent("credit-watch")

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        if action == "handle" and away:
            raise RetryLater("the carrier's service is away")

    class AwayRegistry:
        async def schema(self, schema_id: int) -> str:
            if action == "decode" and away:
                raise RetryLater("registry http://registry is away")
            return await here.registry.schema(schema_id)

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    notices: list[Notice] = []

    def states() -> list[tuple[str, str]]:
        pairs = [(n.state, n.reason) for n in notices if isinstance(n, PartState)]
        return [pair for pair, _ in groupby(pairs)]

    async with running(here, agent, notices, AwayRegistry()):
        await until(states)
        away = False
        await until(lambda: len(states()) > 1)
    [(first, reason), second] = states()
    assert first == "retrying"
    assert "away" in reason
    assert second == ("running", "")


async def test_an_agent_waits_for_as_long_as_one_of_its_events_does(here: ErpHarness) -> None:
    """Each other event that failed once and was done said that the agent runs again."""
    away = True
    agent = Agent("credit-watch")
    failed: set[str] = set()

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        order_no = event.after.order_no
        if order_no == "1" and away:
            raise RetryLater("the carrier's service is away")
        if order_no != "1" and order_no not in failed:
            failed.add(order_no)
            raise ValueError("once")

    notices: list[Notice] = []

    def states() -> list[str]:
        return [state for state, _ in groupby(n.state for n in notices if isinstance(n, PartState))]

    def done() -> int:
        return sum(isinstance(n, Handled) and n.outcome == "done" for n in notices)

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    async with running(here, agent, notices):
        await until(states)
        await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(2, 6)])
        await until(lambda: done() == 4)
        assert states() == ["retrying"]
        away = False
        await until(lambda: len(states()) > 1)
    assert states() == ["retrying", "running"]


async def twelve(here: ErpHarness) -> bool:
    return len(await here.records("command")) >= 12


async def test_one_key_is_handled_in_order_and_different_keys_side_by_side(
    here: ErpHarness,
) -> None:
    agent = Agent("order-keeper")
    seen: dict[str, list[Any]] = {}
    now = most = 0

    @agent.on("erp.sales_order")
    async def note(event: Event, ctx: Context) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        seen.setdefault(event.after.order_no, []).append(event.after.note)
        now -= 1

    rows = [here.order(n, 1, 1) for n in range(1, 9)]
    for turn in range(5):
        await here.publish("sales_order", 2, [{**row, "ztext": str(turn)} for row in rows])
    async with running(here, agent):
        await until(lambda: sum(map(len, seen.values())) == 40)
    assert all(notes == list("01234") for notes in seen.values())
    assert most > 2


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


async def test_an_event_that_waits_holds_back_commands_of_later_ones_but_not_their_handling(
    here: ErpHarness,
) -> None:
    agent = Agent("patient")
    go_on = threading.Event()
    handled: list[str] = []

    @agent.on("erp.sales_order")
    async def slow(event: Event, ctx: Context) -> Command:
        while event.after.order_no == "1" and not go_on.is_set():
            await asyncio.sleep(0.01)
        handled.append(event.after.order_no)
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    await here.publish("sales_order", 1, [here.order(n, 1, 1) for n in range(1, 31)])
    events = [
        await RegistryEventDecoder(here.registry, {}).decode(r) for r in await here.raw(TOPIC)
    ]
    partition = {event.after.order_no: event.partition for event in events if event is not None}
    elsewhere = {number for number in partition if partition[number] != partition["1"]}
    assert elsewhere

    async def written() -> set[str]:
        commands = await here.records("command")
        return {json.loads(c.key)["order_no"] for c in commands if isinstance(c, CommandRecord)}

    async def others_are_there() -> bool:
        return await written() >= elsewhere

    async def all_are_there() -> bool:
        return len(await written()) == 30

    async with running(here, agent):
        await until(lambda: len(handled) == 29)
        await until(others_are_there)
        assert await written() == elsewhere
        go_on.set()
        await until(all_are_there)


async def test_an_agents_own_echo_is_left_out(here: ErpHarness) -> None:
    agent = Agent("echoer")
    seen: list[str] = []

    @agent.on("erp.sales_order")
    async def note(event: Event, ctx: Context) -> None:
        assert provenance(event.after).position == event.position
        seen.append(event.after.order_no)

    await here.publish("sales_order", 2, [here.order(1, 1, 1)], causation="echoer:abc")
    await here.publish("sales_order", 2, [here.order(2, 1, 1)], causation="other:abc")
    async with running(here, agent):
        await until(lambda: seen == ["2"])


async def test_plain_handlers_read_in_their_threads_and_share_queries(here: ErpHarness) -> None:
    here.customers(20)
    agent = Agent("plain")
    names: list[str] = []

    @agent.on("erp.sales_order")
    def plain(event: Event, ctx: Any) -> None:
        names.append(ctx.related(event.after, "customer").customer_id)

    await here.publish("sales_order", 1, [here.order(n, n, 1) for n in range(1, 21)])
    notices: list[Notice] = []
    async with running(here, agent, notices):
        await until(lambda: len(names) == 20)
    assert sorted(names, key=int) == [str(n) for n in range(1, 21)]
    assert len([n for n in notices if isinstance(n, RowsRead)]) < 20


async def test_two_members_share_the_partitions_and_each_event_is_answered_once(
    here: ErpHarness,
) -> None:
    here.customers(40)
    await here.publish("sales_order", 1, [here.order(n, n, 5) for n in range(1, 41)])

    async def forty() -> bool:
        return len(await here.records("command")) == 40

    async with running(here, watcher()), running(here, watcher()):
        await until(forty)
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert len({c.id for c in commands}) == 40


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


async def test_an_agent_goes_on_with_a_topic_that_is_made_again_under_its_hands(
    here: ErpHarness,
) -> None:
    """Offsets that begin again, while events of before are under way, ended it."""
    agent = Agent("stuck")
    begun, go_on = threading.Event(), threading.Event()

    @agent.on("erp.sales_order")
    async def stuck(event: Event, ctx: Context) -> Command:
        begun.set()
        go_on.wait(WAIT_TIMEOUT_S)
        return Command("erp.note_order", key=event.key, args={"reason": event.after.note or ""})

    row = here.order(1, 1, 1)
    notices: list[Notice] = []

    def moved() -> list[Notice]:
        return [each for each in notices if isinstance(each, GroupMoved) and "again" in each.reason]

    async def commands() -> list[Any]:
        return await here.records("command")

    await here.publish("sales_order", 1, [row, row])
    try:
        async with running(here, agent, notices) as task:
            await until(begun.is_set)
            await asyncio.to_thread(make_again_embedded, here.folder / "log.db", TOPIC)
            await until(moved)
            await here.publish("sales_order", 2, [{**row, "ztext": "again"}])
            await asyncio.sleep(0.5)
            go_on.set()
            await until(lambda: task.done() or commands())
            assert not task.done()
    finally:
        go_on.set()
    assert [each.args for each in await commands()] == ['{"reason":"again"}']


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
