"""Compaction and retention by a clock of the test's own."""

import sqlite3
from pathlib import Path

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, Record, TopicPartition, TopicSpec

from .conftest import OpenEmbedded

DAY = 86_400_000


class CompactionClock:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


async def everything(log: EmbeddedLog, topic: str) -> list[Record]:
    partition = TopicPartition(topic, 0)
    end = (await log.end_offsets([partition]))[partition]
    reader = await log.reader({partition: 0})
    records: list[Record] = []
    while reader.position(partition) < end:
        records += await reader.read(1000, 0.0)
    return records


async def test_history_counts_from_each_record_and_younger_ones_stay(
    open_embedded: OpenEmbedded,
) -> None:
    clock = CompactionClock()
    log = await open_embedded(clock=clock)
    await log.create_topics([TopicSpec("t", "compact", 1, history_ms=30 * DAY)])
    for value in (b"1", b"2", b"3", b"4"):
        await log.append("t", [Entry(b"a", value)])
        clock.now += 9 * DAY

    assert await log.compact() == 0
    clock.now += 4 * DAY
    assert await log.compact() == 1
    assert [record.value for record in await everything(log, "t")] == [b"2", b"3", b"4"]


async def test_an_old_record_stays_as_long_as_only_young_ones_follow(
    open_embedded: OpenEmbedded,
) -> None:
    """Of what is older than the history the last one per key is kept."""
    clock = CompactionClock()
    log = await open_embedded(clock=clock)
    await log.create_topics([TopicSpec("t", "compact", 1, history_ms=DAY)])
    await log.append("t", [Entry(b"a", b"1"), Entry(b"a", b"2")])
    clock.now += 2 * DAY
    await log.append("t", [Entry(b"a", b"3")])

    await log.compact()

    assert [record.value for record in await everything(log, "t")] == [b"2", b"3"]


async def test_a_tombstone_goes_a_history_after_what_it_deleted(
    open_embedded: OpenEmbedded,
) -> None:
    clock = CompactionClock()
    log = await open_embedded(clock=clock)
    await log.create_topics([TopicSpec("t", "compact", 1, history_ms=DAY)])
    await log.append("t", [Entry(b"a", b"1"), Entry(b"a", None), Entry(b"b", b"1")])

    clock.now += DAY + 1
    await log.compact()
    assert [(r.key, r.value) for r in await everything(log, "t")] == [(b"a", None), (b"b", b"1")]
    clock.now += DAY
    await log.append("t", [Entry(b"c", b"1")])
    clock.now += DAY + 1
    await log.compact()
    assert [record.key for record in await everything(log, "t")] == [b"b", b"c"]


async def test_many_small_batches_become_few_and_records_are_counted(
    tmp_path: Path, open_embedded: OpenEmbedded
) -> None:
    """Positions are written a record a time; what is left of them must not cost a row each."""
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", "compact", 1)])
    producer = await log.producer("id")
    for at in range(300):
        async with producer.transaction() as transaction:
            await transaction.append("t", [Entry(b"%d" % (at % 50), b"%d" % at)])

    assert await log.compact("t") == 250

    records = await everything(log, "t")
    assert [int(record.value or b"") for record in records] == [*range(250, 300)]
    assert [record.offset for record in records] == [*range(250, 300)]
    assert (await log.topics())["t"].records == 50
    rows = sqlite3.connect(tmp_path / "log.db")
    assert rows.execute("SELECT count(*), sum(records) FROM batch").fetchone() == (3, 50)
    rows.close()
    await log.append("t", [Entry(b"0", b"new")])
    assert (await everything(log, "t"))[-1].offset == 300


async def test_a_second_pass_goes_on_behind_the_first(open_embedded: OpenEmbedded) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", "compact", 1)])
    for start in range(3):
        await log.append("t", [Entry(b"%d" % at, b"%d" % start) for at in range(2500)])
        assert await log.compact("t") == (2500 if start else 0)

    records = await everything(log, "t")
    assert {record.value for record in records} == {b"2"}
    assert len(records) == 2500


async def test_records_without_a_key_are_never_compacted(open_embedded: OpenEmbedded) -> None:
    log = await open_embedded()
    await log.create_topics([TopicSpec("t", "compact", 1)])
    await log.append("t", [Entry(None, b"1"), Entry(None, None), Entry(None, b"1")])

    assert await log.compact("t") == 0
    assert len(await everything(log, "t")) == 3


async def test_retention_takes_whole_batches_from_the_beginning(
    open_embedded: OpenEmbedded,
) -> None:
    clock = CompactionClock()
    log = await open_embedded(clock=clock)
    partition = TopicPartition("t", 0)
    await log.create_topics([TopicSpec("t", "delete", 1, retention_ms=DAY)])
    for value in (b"1", b"2", b"3"):
        await log.append("t", [Entry(b"k", value), Entry(b"k", value)])
        clock.now += DAY

    reader = await log.reader({partition: 0})
    await log.compact()

    assert [record.value for record in await everything(log, "t")] == [b"3", b"3"]
    assert await log.beginning_offsets([partition]) == {partition: 4}
    assert await log.offsets_at([partition], 0) == {partition: 4}
    assert (await log.topics())["t"].records == 2
    assert [record.offset for record in await reader.read(10, 1.0)] == [4, 5]

    clock.now += 9 * DAY
    assert await log.compact() == 2
    assert (
        await log.end_offsets([partition])
        == {partition: 6}
        == await log.beginning_offsets([partition])
    )
    member = await log.join("g", ["t"])
    await log.append("t", [Entry(b"k", b"4")])
    assert [record.offset for record in await member.read(10, 5.0)] == [6]


async def test_compaction_runs_by_itself_once_half_of_a_topic_is_new(
    open_embedded: OpenEmbedded,
) -> None:
    log = await open_embedded(compact_every=0.05)
    await log.create_topics([TopicSpec("t", "compact", 1)])
    partition = TopicPartition("t", 0)
    for _ in range(2):
        await log.append("t", [Entry(b"%d" % (at % 10), b"%d" % at) for at in range(1000)])

    reader = await log.reader({partition: 0})
    for _ in range(200):
        if (await log.topics())["t"].records == 10:
            break
        await reader.read(1, 0.05)
        reader.seek(partition, 2000)

    assert len(await everything(log, "t")) == 10
