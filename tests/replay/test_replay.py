from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.log.copying.dead_letters import dead_letter
from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.port import Entry, TopicPartition, TopicSpec
from bridge.model.command import CommandRecord
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.headers import REPLAY
from bridge.model.names import internal_topic
from bridge.model.system_records import DeadLetter
from bridge.model.types import Entity
from bridge.replay import (
    DryRun,
    JsonLinesSink,
    ReplayProgress,
    Selection,
    TopicSink,
    agent_sink,
    hand_back,
    replay,
)
from bridge.replay.contract import SelectedRecord
from bridge.replay.notes import finished_replays, replay_group
from bridge.replay.select import incomplete_reason
from bridge.wiring.dead_letters import letter_subject, released
from bridge.wiring.decoding import DecodedRecord
from bridge.wiring.registry_events import RegistryEventDecoder
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import BRIDGE, ErpHarness, open_erp
from tests.waiting import until

TOPIC = "acme.erp.sales_order"
#: The year 2100. The list below is made long before the tests run, so "now" would be over by then.
LONG_AHEAD = 4_102_444_800_000
DAY = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ErpHarness]:
    async with open_erp(tmp_path) as erp:
        rows = [erp.order(n, n % 3, n) for n in range(1, 11)]
        await erp.publish("sales_order", 1, rows)
        await erp.publish("sales_order", 2, [{**row, "gbstk": "C"} for row in rows[:4]])
        await erp.publish("sales_order", 3, rows[:2])
        yield erp


async def run(
    here: ErpHarness, selection: Selection, sink: Any = None, **more: Any
) -> ReplayProgress:
    events = RegistryEventDecoder(here.registry, {})
    return await replay(here.log, events, selection, sink or DryRun(), now=now_ms, **more)


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(TOPIC), 16),
        (Selection(TOPIC, ops=frozenset({"delete"})), 2),
        (Selection(TOPIC, keys=frozenset({"1", '{"order_no":"3"}'})), 5),
        (Selection(TOPIC, where={"status": "done"}), 4),
        (Selection(TOPIC, where={"customer_id": "1", "total": "4.00"}), 2),
        (Selection(TOPIC, where={"customer_id": "1", "total": "4"}), 2),
        (Selection(TOPIC, where={"total": Decimal("4.0")}), 2),
        (Selection(TOPIC, where={"total": "four"}), 0),
        (Selection(TOPIC, since=LONG_AHEAD), 0),
        (Selection(TOPIC, until=1), 0),
        (Selection(TOPIC, offset=10**6), 0),
    ],
)
async def test_a_dry_run_counts_what_is_selected(
    here: ErpHarness, selection: Selection, count: int
) -> None:
    steps: list[ReplayProgress] = []
    progress = await run(here, selection, report=steps.append)
    assert progress.picked == count
    assert sum(progress.by_op.values()) == count
    assert progress.done
    assert steps[-1] == progress


async def test_a_topic_that_is_not_there_is_named(here: ErpHarness) -> None:
    with pytest.raises(ConfigurationError, match=r"acme\.erp\.nothing"):
        await run(here, Selection("acme.erp.nothing"))


async def test_a_field_that_no_event_has_is_an_error(here: ErpHarness) -> None:
    with pytest.raises(ConfigurationError, match=r"has a field .nothing.; they have .*status"):
        await run(here, Selection(TOPIC, where={"nothing": "x"}))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 31, 10), "2026-01-31T10:00:00"),  # noqa: DTZ001 - a local timestamp
        (datetime(2026, 1, 31, 10, tzinfo=UTC), "2026-01-31T11:00:00+01:00"),
        (date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_a_text_is_read_as_the_type_of_the_field(value: object, text: str) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    kind = Entity("erp", "t", (), ())
    event = Event("erp.t", "create", {}, None, {"at": value}, (), "", None, None, now, "1", kind)
    assert Selection(TOPIC, where={"at": text}).fits(event)


async def test_foreign_notes_are_none_of_a_replay(here: ErpHarness) -> None:
    notes = internal_topic(BRIDGE, "replays")
    await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "one", "copy"))
    junk = [b"junk", b"[1]", b"{}", b"[" * 100_000, None]
    await here.log.append(notes, [Entry(b"one", value) for value in junk])
    with pytest.raises(Rejected, match="other keys"):
        await run(
            here,
            Selection("copy", ops=frozenset({"create"})),
            TopicSink(here.log, BRIDGE, "one", "x"),
        )


async def test_a_replay_whose_name_nobody_knows_leaves_no_group(here: ErpHarness) -> None:
    once = TopicSink(here.log, BRIDGE, "once", "copy", resumable=False)
    await run(here, Selection(TOPIC), once)
    assert replay_group(BRIDGE, "once") not in await here.log.groups()
    assert await finished_replays(here.log, BRIDGE) == {replay_group(BRIDGE, "once")}
    with pytest.raises(Rejected, match="use another name"):
        await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "once", "copy"))


async def test_a_finished_replay_that_was_named_adds_what_came_since(here: ErpHarness) -> None:
    async def nightly() -> int:
        sink = TopicSink(here.log, BRIDGE, "nightly", "copy")
        return (await run(here, Selection(TOPIC), sink)).picked

    assert await nightly() == 18  # 16 events and two tombstones
    group = replay_group(BRIDGE, "nightly")
    assert group in await here.log.groups()
    assert await finished_replays(here.log, BRIDGE) == {group}
    await here.publish("sales_order", 1, [here.order(11, 1, 1)])
    assert await nightly() == 1
    assert await finished_replays(here.log, BRIDGE) == {group}


async def test_a_replay_that_was_interrupted_is_not_finished(here: ErpHarness) -> None:
    class CutBeforeFinish(TopicSink):
        async def finish(self) -> None:
            raise Rejected("interrupted", "by hand")

    with pytest.raises(Rejected, match="by hand"):
        await run(here, Selection(TOPIC), CutBeforeFinish(here.log, BRIDGE, "cut", "copy"))
    assert await finished_replays(here.log, BRIDGE) == set()
    await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "cut", "copy"))
    assert await finished_replays(here.log, BRIDGE) == {replay_group(BRIDGE, "cut")}


class SleptClock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class TimedSink(DryRun):
    """Notes how many events came when, and up to where."""

    def __init__(self, clock: SleptClock) -> None:
        self.clock = clock
        self.came: list[tuple[float, int]] = []
        self.upto: dict[TopicPartition, int] = {}

    async def take(
        self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
    ) -> None:
        self.came.append((self.clock.now, len(picked)))
        self.upto |= upto


@pytest.mark.parametrize("rate", [2.0, 25.0, 1000.0])
async def test_a_rate_is_kept_from_the_first_event_on(here: ErpHarness, rate: float) -> None:
    """A thousand went at once, and then there was a pause."""
    clock = SleptClock()
    sink = TimedSink(clock)
    done = await run(here, Selection(TOPIC), sink, rate=rate, sleep=clock.sleep)
    assert done.picked == sum(count for _, count in sink.came) == 16
    assert max(count for _, count in sink.came) <= max(1, rate / 10)
    for at, _ in sink.came:
        before = sum(count for when, count in sink.came if when < at)
        assert before <= at * rate + 1e-6
    ends = await here.log.end_offsets(list(sink.upto))
    assert sink.upto == ends


async def test_another_selection_is_refused_instead_of_leaving_events_out(
    here: ErpHarness, tmp_path: Path
) -> None:
    file = tmp_path / "out.jsonl"
    first = Selection(TOPIC, keys=frozenset({"1"}), since=1000)

    def sinks() -> list[Any]:
        return [JsonLinesSink(file), TopicSink(here.log, BRIDGE, "one", "copy")]

    for sink in sinks():
        await run(here, first, sink)
    other = [
        replace(first, keys=frozenset({"2"})),
        replace(first, keys=frozenset()),
        replace(first, ops=frozenset({"create"})),
        replace(first, where={"status": "done"}),
        replace(first, since=999),
        replace(first, since=None),
    ]
    for selection in other:
        for sink in sinks():
            with pytest.raises(Rejected, match="use another name or file"):
                await run(here, selection, sink)


async def test_a_replay_that_is_continued_begins_where_it_first_began(
    here: ErpHarness, tmp_path: Path
) -> None:
    """`--since '1d ago'` is later each time: what lay between was left out."""
    whole = tmp_path / "whole.jsonl"
    await run(here, Selection(TOPIC, since=1), JsonLinesSink(whole))
    lines = whole.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(lines[:3]))
    await run(here, Selection(TOPIC, since=LONG_AHEAD), JsonLinesSink(cut))
    assert sorted(cut.read_bytes().splitlines(keepends=True)) == sorted(lines)


async def test_a_file_has_one_json_object_an_event(here: ErpHarness, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    await run(here, Selection(TOPIC, keys=frozenset({"1"})), JsonLinesSink(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["op"] for line in lines] == ["create", "update", "delete"]
    assert lines[0]["after"]["total"] == "1.00"
    assert lines[0]["after"]["status"] == "open"
    assert lines[2]["after"] is None


async def test_a_file_that_was_cut_off_is_gone_on_with_without_gap_or_repeat(
    here: ErpHarness, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    await run(here, Selection(TOPIC), JsonLinesSink(whole))
    everything = whole.read_bytes()
    for size in range(0, len(everything), 577):
        cut.write_bytes(everything[:size])
        await run(here, Selection(TOPIC), JsonLinesSink(cut))
        assert sorted(cut.read_bytes().splitlines()) == sorted(everything.splitlines())


async def test_a_file_of_something_else_is_left_alone(here: ErpHarness, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n")
    with pytest.raises(Rejected, match="line 1 is not of a replay"):
        await run(here, Selection(TOPIC), JsonLinesSink(file))
    assert file.read_text() == "my notes\n"


async def test_copies_into_a_topic_are_marked_with_their_place_and_never_there_twice(
    here: ErpHarness,
) -> None:
    await here.log.create_topics([TopicSpec("copy")])

    class CutHalfway(TopicSink):
        async def take(
            self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
        ) -> None:
            half = picked[: len(picked) // 2]
            ends = {
                TopicPartition(p.record.topic, p.record.partition): p.record.offset + 1
                for p in half
            }
            await super().take(half, ends)
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        await run(here, Selection(TOPIC), CutHalfway(here.log, BRIDGE, "one", "copy"))
    await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "one", "copy"))
    again = await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "one", "copy"))
    assert again.picked == 0
    originals = {f"{r.topic}:{r.partition}:{r.offset}": r for r in await here.raw(TOPIC)}
    copies = await here.raw("copy")
    places = [dict(r.headers)[REPLAY].decode() for r in copies]
    assert sorted(places) == sorted(originals)
    for origin, copy in zip(places, copies, strict=True):
        assert (copy.key, copy.value) == (originals[origin].key, originals[origin].value)


async def test_a_topic_is_not_replayed_into_itself(here: ErpHarness) -> None:
    with pytest.raises(Rejected, match="into itself"):
        await run(here, Selection(TOPIC), TopicSink(here.log, BRIDGE, "loop", TOPIC))


async def test_an_agent_handles_replayed_events_marked_and_asks_for_the_same_commands(
    here: ErpHarness,
) -> None:
    agent = Agent("again")
    seen: list[tuple[str, bool]] = []

    @agent.on("erp.sales_order", ops={"create"})
    async def note(event: Event, ctx: Context) -> Command:
        seen.append((event.id, event.replayed))
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    async with running(here, agent):
        await until(lambda: len(seen) == 10)
        selection = Selection(TOPIC, keys=frozenset({"5", "6"}))
        await run(here, selection, agent_sink(here.log, BRIDGE, "r1", "again"))
        await until(lambda: len(seen) == 12)

        async def twelve() -> bool:
            return len(await here.records("command")) == 12

        await until(twelve)
    first = dict(seen[:10])
    assert all(not replayed for replayed in first.values())
    assert all(event_id in first and replayed for event_id, replayed in seen[10:])
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert len({c.id for c in commands}) == 10
    marked = [r for r in await here.raw("acme.commands") if REPLAY in dict(r.headers)]
    assert len(marked) == 2


async def test_parked_events_are_handed_back_and_their_keys_released(here: ErpHarness) -> None:
    agent = Agent("fixing", attempts=1, on_failure="park_key")
    broken = True

    @agent.on("erp.sales_order", ops={"create", "update"})
    async def note(event: Event, ctx: Context) -> Command:
        if broken and event.after.order_no == "1":
            raise ValueError("not yet")
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    async def parked() -> bool:
        return len(await here.records("dead")) == 2

    async def of_one() -> list[CommandRecord]:
        return [
            c
            for c in await here.records("command")
            if isinstance(c, CommandRecord) and c.key == '{"order_no":"1"}'
        ]

    async with running(here, agent):
        await until(parked)
        assert await of_one() == []
        broken = False
        letters = [d for d in await here.records("dead") if isinstance(d, DeadLetter)]
        count = await hand_back(here.log, here.codec, BRIDGE, letters, datetime.now(UTC))
        assert count == 2

        async def two() -> bool:
            return len(await of_one()) == 2

        await until(two)
        # The key was parked; what comes now is handled again.
        await asyncio.sleep(1.1)
        await here.publish("sales_order", 2, [here_row(here)])

        async def three() -> bool:
            return len(await of_one()) == 3

        await until(three)
    released = [d for d in await here.records("dead") if isinstance(d, DeadLetter)][-1]
    with pytest.raises(Rejected, match="handed an event back already"):
        await hand_back(here.log, here.codec, BRIDGE, [released], datetime.now(UTC))


async def test_letters_that_were_handed_back_stay_so_in_a_copy_of_the_log(here: ErpHarness) -> None:
    """A copy's offsets are other ones, so that no letter was recognised: all were listed again."""
    agent = Agent("fixing", attempts=1)

    @agent.on("erp.sales_order", ops={"create"})
    async def note(event: Event, ctx: Context) -> None:
        if event.after.order_no in ("1", "2"):
            raise ValueError("not yet")

    async def parked() -> bool:
        return len(await here.records("dead")) == 2

    async with running(here, agent):
        await until(parked)
    letters = [d for d in await here.records("dead") if isinstance(d, DeadLetter)]
    await hand_back(here.log, here.codec, BRIDGE, letters[:1], datetime.now(UTC))
    ids = SchemaIds(here.registry, here.registry, BRIDGE)
    copied = []
    for number, record in enumerate(await here.raw("acme.dead")):
        entry = await dead_letter(record, ids)
        fixed = await here.codec.decode("dead", entry.value or b"")
        moved = record._replace(offset=100 + number, key=entry.key, value=entry.value)
        copied.append(DecodedRecord(moved, kind="dead", fixed=fixed))
    listed = [letter.fixed for letter in copied if letter_subject(letter) not in released(copied)]
    assert [letter.event_id for letter in listed if isinstance(letter, DeadLetter)] == [
        letters[1].event_id
    ]


def here_row(here: ErpHarness) -> dict[str, Any]:
    with here.erp() as erp:
        erp.row_factory = lambda cursor, row: {
            column[0]: value for column, value in zip(cursor.description, row, strict=True)
        }
        values: dict[str, Any] = erp.execute(
            "select * from vbak where vbeln like '%1' limit 1"
        ).fetchone()
        return values


def test_a_replay_that_reaches_behind_the_history_says_so() -> None:
    history = TopicSpec(TOPIC, "compact", history_ms=30 * DAY)
    now = 100 * DAY
    assert incomplete_reason(history, now - 29 * DAY, now) == ""
    assert "30 days" in incomplete_reason(history, now - 31 * DAY, now)
    assert "30 days" in incomplete_reason(history, None, now)
    assert incomplete_reason(TopicSpec("t"), None, now) == ""
    assert "only the last event" in incomplete_reason(TopicSpec("t", "compact"), now, now)
