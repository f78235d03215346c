"""Compaction: of what is older than its history, the last record of each key is kept."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.kit.log.harness import WAIT_TIMEOUT_S, LogHarness, from_beginning, read_all, read_count
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, Record, TopicSpec

FILLER_KEY = b"filler"
DAY_MS = 86_400_000


async def compacted(
    log: Log, under_test: LogUnderTest, topic: str, left: list[tuple[bytes, bytes | None]]
) -> list[Record]:
    """Wait until (key, value) of all records but the filler are these; returns them.

    Logs that compact whole segments need newer records after those that go: the filler.
    """
    end = time.monotonic() + under_test.compaction_timeout_s
    while True:
        await log.append(topic, [Entry(FILLER_KEY, b"")])
        if under_test.compact is not None:
            await under_test.compact(log, topic)
        records = [r for r in await read_all(log, from_beginning(topic)) if r.key != FILLER_KEY]
        if [(record.key, record.value) for record in records] == left:
            return records
        if time.monotonic() > end:
            seen = [(record.key, record.value) for record in records]
            pytest.fail(f"after {under_test.compaction_timeout_s} s there is {seen}, not {left}")
        await asyncio.sleep(0.2)


class CompactionSuite(LogHarness):
    """What `cleanup="compact"` promises."""

    async def test_the_last_record_of_each_key_is_kept_where_it_stood(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("compact")
        await log.create_topics([TopicSpec(name, "compact", 1)])
        producer = await log.producer(under_test.name("producer"))
        for at in range(4):
            async with producer.transaction() as transaction:
                entries = [Entry(b"%d" % key, b"%d" % at, [("h", b"1")]) for key in range(3)]
                await transaction.append(name, entries)
        await producer.close()
        await log.append(name, [Entry(b"1", b"last")])
        before = await read_all(log, from_beginning(name))

        records = await compacted(
            log, under_test, name, [(b"0", b"3"), (b"2", b"3"), (b"1", b"last")]
        )

        kept = {(r.key, r.value): r for r in before}
        assert records == [kept[record.key, record.value] for record in records]

    async def test_a_tombstone_outlives_what_it_deletes(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("tombstone")
        await log.create_topics([TopicSpec(name, "compact", 1)])
        await log.append(name, [Entry(b"a", b"1"), Entry(b"b", b"1"), Entry(b"a", None)])

        await compacted(log, under_test, name, [(b"b", b"1"), (b"a", None)])

    async def test_what_is_younger_than_its_history_is_all_there(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name, other = under_test.name("history"), under_test.name("atonce")
        await log.create_topics(
            [TopicSpec(name, "compact", 1, history_ms=DAY_MS), TopicSpec(other, "compact", 1)]
        )
        entries = [Entry(b"a", b"1"), Entry(b"a", b"2"), Entry(b"a", b"3")]
        await log.append(name, entries)
        await log.append(other, entries)

        await compacted(log, under_test, other, [(b"a", b"3")])
        await compacted(log, under_test, name, [(b"a", b"1"), (b"a", b"2"), (b"a", b"3")])

    async def test_a_reader_goes_on_over_what_was_compacted_away(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("gaps")
        await log.create_topics([TopicSpec(name, "compact", 1)])
        await log.append(name, [Entry(b"a", b"%d" % at) for at in range(10)])
        reader = await log.reader(from_beginning(name))
        first = await reader.read(2, WAIT_TIMEOUT_S)
        offsets = [record.offset for record in await read_all(log, from_beginning(name))]

        await compacted(log, under_test, name, [(b"a", b"9")])
        again = await log.reader(dict.fromkeys(from_beginning(name), offsets[4]))
        records = await again.read(1, WAIT_TIMEOUT_S)

        assert [record.value for record in first] == [b"0", b"1"]
        assert [(record.value, record.offset) for record in records] == [(b"9", offsets[9])]
        await reader.close()
        await again.close()

    async def test_topics_that_delete_keep_every_record_of_a_key(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("kept")
        await log.create_topics([TopicSpec(name, "delete", 1)])
        await log.append(name, [Entry(b"a", b"%d" % at) for at in range(5)])
        if under_test.compact is not None:
            await under_test.compact(log, name)

        reader = await log.reader(from_beginning(name))
        assert len(await read_count(reader, 5)) == 5
        await reader.close()
