"""Which held commands may start, and when: by the clock of the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.commands.held.commands import KEYS_PER_TRY, RETRY_PAUSES_S, HeldCommands, waits_after
from bridge.commands.incoming import IncomingCommand
from bridge.log.port import TopicPartition
from bridge.model.system_records import target
from tests.commands.sqlite_executor import sealed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARTITION = TopicPartition("acme.commands", 0)
BLOCK, NOTE = "erp.block_order", "erp.note_order"
MANY = 1000


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def held(time: Time) -> HeldCommands:
    return HeldCommands(time)


def item(
    name: str, order: str, number: int = 1, deadline: datetime | None = None
) -> IncomingCommand:
    command = sealed(name, order, key=f"{name}/{order}/{number}", deadline=deadline)
    about = target("erp", "sales_order", {"order_no": order})
    return IncomingCommand(command, about, order.encode(), PARTITION)


def add(held: HeldCommands, *items: IncomingCommand) -> list[str]:
    for each in items:
        held.add(each)
    return [each.command.id for each in items]


def ids(items: list[IncomingCommand]) -> list[str]:
    return [each.command.id for each in items]


def test_a_deadline_that_is_over_waits_for_no_try_and_starts_nothing(held: HeldCommands) -> None:
    first, late, last = add(
        held,
        item("block_order", "1"),
        item("note_order", "1", 2, deadline=NOW - timedelta(seconds=1)),
        item("note_order", "1", 3, deadline=NOW + timedelta(seconds=1)),
    )
    held.refuse(BLOCK, "no right")
    due = held.due(NOW, MANY)
    assert (ids(due.commands), due.startable_ids) == ([late], set())
    assert {first, last} <= {each.command.id for each in held}


def test_of_a_declaration_whose_time_has_come_a_few_keys_are_tried_once(
    held: HeldCommands, time: Time
) -> None:
    names = add(held, *(item("block_order", str(number)) for number in range(1, 9)))
    held.refuse(BLOCK, "no right")
    assert held.due(NOW, MANY).commands == []
    time.now += RETRY_PAUSES_S[0]
    due = held.due(NOW, MANY)
    assert len(due.commands) == len(due.startable_ids) == KEYS_PER_TRY
    assert names[-1] in due.startable_ids, (
        "the newest one: it may be the first of a row that isn't protected"
    )
    assert held.due(NOW, MANY).commands == [], "not again at once, whatever came of it"
    held.lift(BLOCK)
    assert sorted(held.due(NOW, MANY).startable_ids) == sorted(names)


def test_what_waits_behind_starts_with_it_up_to_the_next_that_is_held(held: HeldCommands) -> None:
    first, second, third, fourth = add(
        held,
        item("note_order", "1", 1),
        item("note_order", "1", 2),
        item("block_order", "1", 3),
        item("note_order", "1", 4),
    )
    held.refuse(BLOCK, "no right")
    due = held.due(NOW, MANY)
    assert ids(due.commands) == [first, second]
    assert due.startable_ids == {first, second}
    assert held.reason(item("note_order", "1", 4)) == waits_after(first)
    assert held.reason(item("block_order", "2")) == "no right"
    assert held.reason(item("note_order", "2")) == ""
    assert {third, fourth} <= {each.command.id for each in held}


def test_a_refusal_is_a_rows_own_only_after_an_effect_since_the_last_one(
    held: HeldCommands,
) -> None:
    protected = item("block_order", "1")
    held.note_effect(BLOCK)
    assert not held.is_refused_itself(protected)
    assert not held.is_refused_itself(protected)
    held.note_effect(NOTE)
    assert not held.is_refused_itself(protected)
    held.note_effect(BLOCK)
    assert held.is_refused_itself(protected)
    held.add(protected)
    held.remove(protected)
    assert not held.is_refused_itself(protected)


def test_commands_of_partitions_that_are_lost_are_let_go(held: HeldCommands) -> None:
    add(held, item("block_order", "1"))
    held.keep([PARTITION])
    assert len(held) == 1
    held.keep([])
    assert len(held) == 0
    assert held.reason(item("note_order", "1", 2)) == ""
