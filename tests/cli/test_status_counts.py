"""What `status` counts, in how much time, and what it says where it doesn't count all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.status.count_lines import bound_text, print_counts
from bridge.commands.codes import HELD_BACK
from bridge.config.load import load
from bridge.log.port import Entry, TopicPartition
from bridge.log.recent_offsets import MINUTE_MS, recent_starts
from bridge.model.command import CommandRecord
from bridge.model.receipt import Outcome, Receipt, State
from bridge.model.system_records import (
    RELEASED,
    AuditRecord,
    DeadLetter,
    SystemRecord,
    TopicKind,
    target,
)
from bridge.wiring import Bridge, open_bridge
from bridge.wiring.status import counts
from bridge.wiring.status.counts import (
    MAX_SOURCES,
    OTHERS,
    UNDECLARED,
    BoundedCounts,
    command_counts,
    dead_letter_counts,
    waits_for_a_person,
)
from tests.cli.bridge_folder import BridgeFolder

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
CONFIG = """
bridge: acme
log: sqlite:///log.db
systems: erp.yaml
"""
SYSTEM = """
system: erp
connector: journal
url: sqlite:///erp.db
entities:
  thing: {from: thing, key: id, fields: {id: {from: id}}}
commands:
  touch: {entity: thing, run: "update thing set id = id where id = :key"}
  drop: {entity: thing, run: "delete from thing where id = :key"}
"""


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    (tmp_path / "erp.yaml").write_text(SYSTEM)
    async with open_bridge(load(tmp_path / "bridge.yaml")) as bridge:
        await bridge.create_topics()
        yield bridge


async def write(
    bridge: Bridge, kind: TopicKind, records: Sequence[SystemRecord], at: datetime
) -> None:
    """Append them as of that time."""
    key: Any = target("erp", "thing", {"id": 1}) if kind in {"command", "receipt"} else "k"
    entries = [bridge.codec.entry(kind, key, record) for record in records]
    stamp = int(at.timestamp() * 1000)
    await bridge.log.append(
        bridge.codec.topic(kind), [entry._replace(timestamp=stamp) for entry in entries]
    )


def command(number: int, name: str, at: datetime) -> CommandRecord:
    return CommandRecord(
        id=f"watch:{number}",
        idempotency_key=str(number),
        name=name,
        key='{"id":1}',
        args="{}",
        digest="d",
        expect=None,
        agent="watch",
        agent_version=None,
        handler=None,
        caused_by=None,
        reason=None,
        confidence=None,
        deadline=None,
        requested_at=at,
    )


async def send(
    bridge: Bridge, number: int, name: str, state: State | None, at: datetime = NOW
) -> None:
    """A command and what became of it; None: nobody has taken it up."""
    await write(bridge, "command", [command(number, name, at)], at)
    if state is not None:
        step = AuditRecord(f"watch:{number}", name, state, "executor", at)
        await write(bridge, "audit", [step], at)
    if state in {State.SUCCEEDED, State.FAILED, State.REJECTED, State.EXPIRED}:
        outcome = Outcome(state.value)
        receipt = Receipt(f"watch:{number}", outcome, "code", None, None, None, None, at)
        await write(bridge, "receipt", [receipt], at)


def by_command(counted: BoundedCounts) -> dict[str, tuple[int, int, int]]:
    return {row["command"]: (row["failed"], row["unknown"], row["waiting"]) for row in counted.rows}


async def test_commands_are_counted_by_declaration_and_by_what_they_need(bridge: Bridge) -> None:
    states = [State.SUCCEEDED, State.FAILED, State.FAILED, State.UNKNOWN, State.AWAITING_APPROVAL]
    for number, state in enumerate(states):
        await send(bridge, number, "erp.touch", state)
    await send(bridge, 10, "erp.touch", None, NOW - timedelta(hours=3))
    await send(bridge, 11, "erp.touch", State.EXPIRED)
    await send(bridge, 12, "erp.gone", State.FAILED)
    counted = await command_counts(bridge, NOW_MS)
    assert by_command(counted) == {
        "erp.touch": (2, 1, 2),
        "erp.drop": (0, 0, 0),
        UNDECLARED: (1, 0, 0),
    }
    [oldest] = [r["oldest_waiting_seconds"] for r in counted.rows if r["command"] == "erp.touch"]
    assert oldest == 3 * 3600
    assert all(row["complete"] for row in counted.json_rows("commands"))


def letter(offset: int, source: str = "stumbler", error: str = "ValueError") -> DeadLetter:
    return DeadLetter("event", source, "why", NOW, "acme.erp.thing", 0, offset, error=error)


def by_source(counted: BoundedCounts) -> dict[str | None, int]:
    """None: all of them."""
    return {row["source"]: row["dead_letters"] for row in counted.rows}


async def test_letters_are_counted_by_source_less_those_that_were_handed_back(
    bridge: Bridge,
) -> None:
    letters = [letter(offset) for offset in range(5)]
    await write(bridge, "dead", letters, NOW)
    await write(bridge, "dead", [letter(0, error=RELEASED), letter(1, error=RELEASED)], NOW)
    await write(bridge, "dead", [letter(0)], NOW)  # its handler failed again
    await write(bridge, "dead", [letter(7, "other")], NOW)
    await bridge.log.append(bridge.codec.topic("dead"), [Entry(b"junk", b"junk")])
    counted = await dead_letter_counts(bridge, NOW_MS)
    assert by_source(counted) == {None: 6, "stumbler": 5, "other": 1}


async def test_however_many_sources_there_are_the_rows_are_few(bridge: Bridge) -> None:
    await write(bridge, "dead", [letter(n, f"s{n}") for n in range(MAX_SOURCES + 7)], NOW)
    counts = by_source(await dead_letter_counts(bridge, NOW_MS))
    assert (len(counts), counts[OTHERS], counts[None]) == (MAX_SOURCES + 2, 7, MAX_SOURCES + 7)


async def test_where_nothing_recent_is_there_it_is_said_that_older_ones_may_be(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    await write(bridge, "dead", [letter(n) for n in range(9)], NOW - timedelta(days=60))
    letters = await dead_letter_counts(bridge, NOW_MS, max_records=5)
    print_counts(await command_counts(bridge, NOW_MS), letters)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("dead")]
    assert "dead letters: none; only what came since" in line


async def test_nothing_is_counted_of_topics_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    (tmp_path / "erp.yaml").write_text(SYSTEM)
    async with open_bridge(load(tmp_path / "bridge.yaml")) as bridge:
        assert by_source(await dead_letter_counts(bridge, NOW_MS)) == {None: 0}
        assert by_command(await command_counts(bridge, NOW_MS)) == {
            "erp.touch": (0, 0, 0),
            "erp.drop": (0, 0, 0),
        }


async def test_of_much_only_what_is_recent_is_counted_and_that_is_said(bridge: Bridge) -> None:
    for number in range(20):
        await send(bridge, number, "erp.touch", State.FAILED, NOW - timedelta(days=2))
    for number in range(20, 23):
        await send(bridge, number, "erp.touch", State.FAILED)
    # None of these three is taken for a waiting one, although steps of older ones are left out.
    counted = await command_counts(bridge, NOW_MS, max_records=15)
    assert by_command(counted)["erp.touch"] == (3, 0, 0)
    assert counted.since == NOW - timedelta(days=1)
    assert "there may be more" in bound_text(counted)
    assert not any(row["complete"] for row in counted.json_rows("commands"))


async def test_what_is_held_back_for_a_right_is_told_with_its_reason(
    bridge: Bridge, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand commands waited for a GRANT, and `status` ended with 0 for as long as that took."""
    at = NOW - timedelta(minutes=3)
    await send(bridge, 1, "erp.touch", State.VALIDATED, at)
    words = ("permission denied for table thing", None, None, None, at)
    held = Receipt("watch:1", Outcome.UNKNOWN_OUTCOME, HELD_BACK, *words)
    await write(bridge, "receipt", [held], at)
    counted = await command_counts(bridge, NOW_MS)
    assert waits_for_a_person(counted, 30.0)
    assert not waits_for_a_person(counted, 3600.0)
    print_counts(counted, await dead_letter_counts(bridge, NOW_MS))
    out = capsys.readouterr().out
    assert "erp.touch is held back (3 m): permission denied for table thing" in out
    receipt = Receipt("watch:1", Outcome.SUCCEEDED, None, None, None, None, None, NOW)
    await write(bridge, "receipt", [receipt], NOW)
    assert not waits_for_a_person(await command_counts(bridge, NOW_MS), 30.0)


async def test_a_command_that_was_sent_again_after_its_receipt_waits_for_nothing(
    bridge: Bridge,
) -> None:
    """A replay sends commands again; their first receipts answer them, and may be older than what is read."""
    await send(bridge, 1, "erp.touch", State.SUCCEEDED, NOW - timedelta(days=2))
    for number in range(2, 22):
        await send(bridge, number, "erp.touch", State.SUCCEEDED, NOW - timedelta(days=2))
    await send(bridge, 1, "erp.touch", None)
    places = [TopicPartition("acme.commands", number) for number in range(4)]
    ends = await bridge.log.end_offsets(places)
    await bridge.log.reset_offsets("acme.executor.erp", ends)
    counted = await command_counts(bridge, NOW_MS, max_records=15)
    assert counted.since is not None
    assert by_command(counted)["erp.touch"] == (0, 0, 0)
    await send(bridge, 99, "erp.touch", None)
    counted = await command_counts(bridge, NOW_MS, max_records=15)
    assert by_command(counted)["erp.touch"] == (0, 0, 1), "nobody has read that one"


async def test_what_can_not_be_read_in_time_is_not_counted(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log that hangs must not keep `status` for minutes, nor make wrong numbers."""
    monkeypatch.setattr(counts, "READ_TIMEOUT_S", 0.0)
    await send(bridge, 1, "erp.touch", State.FAILED)
    commands = await command_counts(bridge, NOW_MS)
    letters = await dead_letter_counts(bridge, NOW_MS)
    assert (commands.rows, letters.rows) == ((), ())
    assert [row["complete"] for row in commands.json_rows("commands")] == [False]
    print_counts(commands, letters)
    out = capsys.readouterr().out
    assert out.count("not counted") == 2
    assert "none" not in out


@pytest.mark.parametrize(
    ("max_records", "count", "since"),
    [(10, 10, None), (9, 5, NOW_MS - 60 * MINUTE_MS), (4, 4, NOW_MS - MINUTE_MS)],
)
async def test_the_recent_part_is_the_longest_span_that_fits(
    bridge: Bridge, max_records: int, count: int, since: int | None
) -> None:
    topic = bridge.codec.topic("dead")
    old, new = NOW_MS - 120 * MINUTE_MS, NOW_MS - 1000
    entries = [Entry(b"k", b"v", timestamp=at, partition=0) for at in [old] * 5 + [new] * 5]
    await bridge.log.append(topic, entries)
    places = await places_of(bridge, topic)
    recent = await recent_starts(bridge.log, places, max_records, NOW_MS)
    ends = await bridge.log.end_offsets(places)
    counts: Mapping[Any, int] = {
        partition: ends[partition] - recent.starts[partition] for partition in places
    }
    assert recent.since == since
    assert sum(counts.values()) <= count


async def places_of(bridge: Bridge, topic: str) -> list[Any]:
    from bridge.log.follow_topics import partitions_of

    return await partitions_of(bridge.log, [topic])


def test_status_shows_what_a_bridge_that_lived_has_left(lived: BridgeFolder) -> None:
    """It said `dead 0` beside 126 letters, and nothing of commands."""
    rows = lived.call("status", "--json").rows
    letters = {row["source"]: row["dead_letters"] for row in rows if row["kind"] == "dead_letters"}
    assert letters == {None: 2, "erp.sales_order": 1, "stumbler": 1}
    commands = [row for row in rows if row["kind"] == "commands"]
    assert {row["command"] for row in commands} >= {"erp.block_order"}
    send = ("commands", "send", "erp.block_order", "--key", "4711", "--arg", "reason=x")
    sent = lived.call(*send, "--reason", "test")
    assert sent.code == 0, sent.err
    output = lived.call("status").out
    assert "stumbler" in output.partition("dead letters")[2]
    waiting = [row for row in lived.call("status", "--json").rows if row.get("waiting")]
    assert [(row["command"], row["waiting"]) for row in waiting] == [("erp.block_order", 1)]
