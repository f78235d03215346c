# ruff: noqa: DTZ001 - a deadline without a zone is one of the cases
"""What handlers return and raise, and what stands in topics: each ends by itself, as on_failure says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.pipeline.park import AgentStopped
from bridge.log.port import Entry
from bridge.model.command import CommandRecord
from bridge.model.errors import Rejected
from bridge.model.system_records import DeadLetter
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import ErpHarness
from tests.hostile_values import HALF_EMOJI, TextlessError, Unprintable, endless_list
from tests.waiting import WAIT_TIMEOUT_S, until

POISON: dict[str, dict[str, Any]] = {
    "reason=5": {"reason": 5},
    "half an emoji": {"reason": HALF_EMOJI},
    "confidence": {"confidence": "high"},
    "deadline of text": {"deadline": "2030-01-01T00:00:00Z"},
    "deadline without a zone": {"deadline": datetime(2030, 1, 1)},
    "idempotency_key": {"idempotency_key": 5},
    "expect": {"expect": Unprintable()},
    "name": {"name": 7},
    "name of a list": {"name": ["erp.note_order"]},
    "args": {"args": 7},
    "endless args": {"args": {"all": endless_list()}},
    "digits": {"args": {"reason": 10**5000}},
    "key": {"key": {"order_no": object()}},
    "key of half an emoji": {"key": {"order_no": HALF_EMOJI}},
}


def poisoned(fields: dict[str, Any], **options: Any) -> Agent:
    """Answers the third order with a command that no record can hold, and every other with a good one."""
    agent = Agent("poisoner", **options)

    @agent.on("erp.sales_order", ops={"create"})
    async def note(event: Event, ctx: Context) -> Command:
        good: dict[str, Any] = {
            "name": "erp.note_order",
            "key": event.key,
            "args": {"reason": "seen"},
        }
        return Command(**{**good, **(fields if event.after.order_no == "3" else {})})

    return agent


async def letters_of(here: ErpHarness, count: int) -> list[DeadLetter]:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while len(records := await here.records("dead")) < count:
            await asyncio.sleep(0.02)
    return [each for each in records if isinstance(each, DeadLetter)]


async def written(here: ErpHarness) -> list[CommandRecord]:
    return [each for each in await here.records("command") if isinstance(each, CommandRecord)]


async def test_commands_that_no_record_can_hold_are_parked_and_the_others_are_written(
    here: ErpHarness,
) -> None:
    """All of them in one agent, so that each meets what the one before it left."""
    rows = [here.order(number, 1, 5) for number in range(1, len(POISON) + 3)]
    agent = Agent("poisoner")
    kinds = list(POISON.values())

    @agent.on("erp.sales_order", ops={"create"})
    async def note(event: Event, ctx: Context) -> Command:
        good: dict[str, Any] = {
            "name": "erp.note_order",
            "key": event.key,
            "args": {"reason": "seen"},
        }
        number = int(event.after.order_no) - 1
        return Command(**{**good, **(kinds[number] if number < len(kinds) else {})})

    async with running(here, agent):
        await here.publish("sales_order", 1, rows)
        letters = await letters_of(here, len(POISON))
        await until(lambda: both_written(here))
    assert {letter.handler for letter in letters} == {"note"}
    assert {letter.error for letter in letters} == {"Rejected"}
    assert len(letters) == len(POISON)


async def both_written(here: ErpHarness) -> bool:
    return len(await written(here)) == 2


async def test_stop_ends_the_agent_in_front_of_such_a_command_and_says_why(
    here: ErpHarness,
) -> None:
    rows = [here.order(3, 1, 5)]
    async with running(here, poisoned({"reason": 5}, on_failure="stop")) as task:
        await here.publish("sales_order", 1, rows)
        await asyncio.wait([task], timeout=WAIT_TIMEOUT_S)
        with pytest.raises(AgentStopped, match="reason is text, not int 5"):
            task.result()


@pytest.mark.parametrize("name", list(POISON))
def test_the_bench_refuses_what_the_bridge_refuses(name: str) -> None:
    row = {"order_no": "3", "total": 5}
    with poisoned(POISON[name]).test() as bench, pytest.raises(Rejected):
        bench.emit("erp.sales_order", "create", row)


def test_the_bench_refuses_a_command_that_is_too_large() -> None:
    agent = poisoned({"args": {"reason": "x" * 900_000}})
    with agent.test() as bench, pytest.raises(Rejected, match="takes 900"):
        bench.emit("erp.sales_order", "create", {"order_no": "3", "total": 5})


ERRORS: dict[str, Callable[[], BaseException]] = {
    "no text": TextlessError,
    "half an emoji": lambda: ValueError(HALF_EMOJI),
    "endless text": lambda: ValueError("x" * 3_000_000),
    "a group": lambda: ExceptionGroup(HALF_EMOJI, [TextlessError()]),
}


async def test_errors_that_cant_be_told_are_parked_as_others_are(here: ErpHarness) -> None:
    rows = [here.order(number, 1, 5) for number in range(1, len(ERRORS) + 2)]
    agent = Agent("thrower", attempts=1)

    @agent.on("erp.sales_order", ops={"create"})
    async def throw(event: Event, ctx: Context) -> Command:
        number = int(event.after.order_no) - 1
        if number < len(ERRORS):
            make_error = list(ERRORS.values())[number]
            raise make_error()
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    async with running(here, agent):
        await here.publish("sales_order", 1, rows)
        letters = await letters_of(here, len(ERRORS))
        await until(lambda: written(here))
    assert sorted(str(letter.error) for letter in letters) == [
        "ExceptionGroup",
        "TextlessError",
        "ValueError",
        "ValueError",
    ]
    assert all(len(letter.reason) <= 1000 for letter in letters)


FOREIGN = (
    '"string"',
    "null",
    "7",
    "[]",
    '{"type":"array","items":"null"}',
    '{"type":"record","name":"erp.sales_order.Change","fields":[]}',
    '{"type":"record","name":"erp.sales_order.Change","fields":"x"}',
    '{"type":"record","name":"erp.sales_order.Change","fields":[{"name":"before","type":{}}]}',
    "[" * 100_000,
    "not JSON",
)


async def test_records_of_other_programs_are_letters_and_the_events_between_them_are_handled(
    here: ErpHarness,
) -> None:
    agent = poisoned({})
    topic = "acme.erp.sales_order"
    rows = [here.order(number, 1, 5) for number in (1, 2)]
    async with running(here, agent):
        await here.publish("sales_order", 1, rows[:1])
        junk = [Entry(b"", b""), Entry(b"\0", b"\0\0\0\0"), Entry(None, b"\0\xff\xff\xff\xffx")]
        for text in FOREIGN:
            number = await here.registry.register("foreign-value", text)
            junk.append(Entry(b"k", b"\0" + number.to_bytes(4, "big") + b"\x04abc\xff\xff"))
        (own,) = await here.raw(topic)
        junk.append(Entry(b"no key", own.value))
        junk.append(Entry(own.key, (own.value or b"")[:20]))
        junk.append(Entry(own.key, (own.value or b"")[:5] + b"\xff" * 40))
        await here.log.append(topic, junk)
        await here.publish("sales_order", 1, rows[1:])
        letters = await letters_of(here, len(junk))
        await until(lambda: both_written(here))
    assert len(letters) == len(junk)
    assert all(letter.offset is not None for letter in letters)
