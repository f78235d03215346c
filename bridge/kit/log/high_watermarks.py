"""High watermarks: past everything committed, and reached by readers."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.kit.log.compaction import FILLER_KEY, compacted
from bridge.kit.log.harness import WAIT_TIMEOUT_S, LogHarness, from_beginning, topic
from bridge.kit.log.reading import numbered
from bridge.kit.log.transactions import AbortedOnPurpose
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Consumer, Entry, Log, Record, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_past_markers
from bridge.model.errors import ConfigurationError, Rejected

TRANSACTIONS = 30


async def read_to_watermarks(
    log: Log, reader: Consumer, partitions: list[TopicPartition]
) -> list[Record]:
    """Take the high watermarks, then read until every position is at or past them."""
    watermarks = await log.high_watermarks(partitions)
    records: list[Record] = []
    end = time.monotonic() + WAIT_TIMEOUT_S
    while behind := [each for each, at in watermarks.items() if reader.position(each) < at]:
        if time.monotonic() > end:
            positions = {each: reader.position(each) for each in behind}
            pytest.fail(f"after {WAIT_TIMEOUT_S} s at {positions}, not at {watermarks}")
        records += await read_past_markers(reader, behind, 1000, 1.0)
    return records


class HighWatermarkSuite(LogHarness):
    """What `Log.high_watermarks` promises."""

    async def test_high_watermarks_are_past_whatever_was_committed(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """At once, and in both partitions: no half of a transaction is missed."""
        name = await topic(log, under_test.name("passed"), 2)
        partitions = [*from_beginning(name, 2)]
        reader = await log.reader(from_beginning(name, 2))
        producer = await log.producer(under_test.name("producer"))

        for at in range(TRANSACTIONS):
            async with producer.transaction() as transaction:
                await transaction.append(name, [*numbered(1, at, 0), *numbered(1, at, 1)])
            records = await read_to_watermarks(log, reader, partitions)
            assert sorted((r.partition, r.value) for r in records) == [
                (number, b"%d" % at) for number in range(2)
            ]
        await log.append(name, numbered(1, 7, 1))
        assert [r.value for r in await read_to_watermarks(log, reader, partitions)] == [b"7"]
        await producer.close()
        await reader.close()

    async def test_a_barrier_that_was_read_is_behind_no_half_of_a_transaction(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """While transactions are written: a barrier is read, the high watermarks are taken, read
        up to them: both halves of each transaction up to the barrier have been delivered.
        """
        name = await topic(log, under_test.name("halves"), 2)
        barriers = await topic(log, under_test.name("barriers"))
        partitions = [*from_beginning(name, 2)]
        reader = await log.reader(from_beginning(name, 2))
        barrier_reader = await log.reader(from_beginning(barriers))
        producer = await log.producer(under_test.name("producer"))

        async def write() -> None:
            for at in range(TRANSACTIONS):
                async with producer.transaction() as transaction:
                    await transaction.append(name, [*numbered(1, at, 0), *numbered(1, at, 1)])
                    await transaction.append(barriers, numbered(1, at))

        writing = asyncio.create_task(write())
        seen: set[tuple[int, int]] = set()
        barrier = -1
        while barrier < TRANSACTIONS - 1:
            for record in await barrier_reader.read(1, 1.0):
                barrier = int(record.value or b"")
            for record in await read_to_watermarks(log, reader, partitions):
                seen.add((record.partition, int(record.value or b"")))
            assert {(number, at) for number in range(2) for at in range(barrier + 1)} <= seen
            if writing.done():
                await writing
        await writing
        await producer.close()
        await reader.close()
        await barrier_reader.close()

    async def test_high_watermarks_are_reached_past_an_abort(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("aborted"), 2)
        partitions = [*from_beginning(name, 2)]
        reader = await log.reader(from_beginning(name, 2))
        producer = await log.producer(under_test.name("producer"))
        await log.append(name, numbered(1, 0, 0))

        with pytest.raises(AbortedOnPurpose):
            async with producer.transaction() as transaction:
                await transaction.append(name, [*numbered(3, 1, 0), *numbered(3, 1, 1)])
                stable = await log.end_offsets(partitions)
                during = await log.high_watermarks(partitions)
                raise AbortedOnPurpose
        records = await read_to_watermarks(log, reader, partitions)
        after = await log.high_watermarks(partitions)

        assert [(r.partition, r.value) for r in records] == [(0, b"0")]
        for partition in partitions:
            assert stable[partition] <= during[partition] <= after[partition]
        await producer.close()
        await reader.close()

    async def test_an_open_transaction_is_not_waited_for(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("open"))
        (partition,) = from_beginning(name)
        producer = await log.producer(under_test.name("producer"))

        async with producer.transaction() as transaction:
            await transaction.append(name, numbered(1))
            await log.append(name, numbered(1, 1))
            # Hidden from readers behind the open transaction where records share a partition's end.
            hidden = await log.high_watermarks([partition])
        reader = await log.reader(from_beginning(name))
        values = {r.value for r in await read_to_watermarks(log, reader, [partition])}

        assert values == {b"0", b"1"}
        assert hidden[partition] >= 1
        assert reader.position(partition) >= hidden[partition]
        await producer.close()
        await reader.close()

    async def test_high_watermarks_are_reached_past_what_was_compacted_away(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("compacted")
        await log.create_topics([TopicSpec(name, "compact", 1)])
        (partition,) = from_beginning(name)
        producer = await log.producer(under_test.name("producer"))
        for at in range(3):
            async with producer.transaction() as transaction:
                await transaction.append(name, [Entry(b"a", b"%d" % at)])
        with pytest.raises(AbortedOnPurpose):
            async with producer.transaction() as transaction:
                await transaction.append(name, [Entry(b"a", b"aborted")])
                raise AbortedOnPurpose
        before = await log.high_watermarks([partition])

        await compacted(log, under_test, name, [(b"a", b"2")])
        reader = await log.reader(from_beginning(name))
        records = await read_to_watermarks(log, reader, [partition])

        assert (await log.high_watermarks([partition]))[partition] >= before[partition]
        assert [r.value for r in records if r.key != FILLER_KEY] == [b"2"]
        await producer.close()
        await reader.close()

    async def test_an_empty_partition_is_passed_at_once(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("empty"), 2)
        partitions = [*from_beginning(name, 2)]

        watermarks = await log.high_watermarks(partitions)

        assert watermarks == await log.end_offsets(partitions)
        reader = await log.reader(await log.beginning_offsets(partitions))
        assert await read_to_watermarks(log, reader, partitions) == []
        await reader.close()

    async def test_high_watermarks_of_what_does_not_exist_are_refused(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("exists"))

        with pytest.raises(ConfigurationError):
            await log.high_watermarks([TopicPartition(under_test.name("missing"), 0)])
        with pytest.raises((Rejected, ConfigurationError)):
            await log.high_watermarks([TopicPartition(name, 1)])
