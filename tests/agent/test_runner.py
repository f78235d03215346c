from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from bridge import Agent, Command, Event, provenance
from bridge.agent import Context
from bridge.agent.group import agent_group
from bridge.log.port import TopicPartition
from bridge.model.command import CommandRecord
from bridge.model.errors import BridgeError, Fenced, OutcomeUnknown, RetryLater
from bridge.observe import GroupMoved, Notice, RowsRead
from bridge.wiring.registry_events import RegistryEventDecoder
from tests.agent.running_agent import TOPIC, running, watcher
from tests.agent.sqlite_erp import BRIDGE, ErpHarness
from tests.capture.test_failures import BreakingLog
from tests.log.removal import make_again_embedded
from tests.waiting import WAIT_TIMEOUT_S, until


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
