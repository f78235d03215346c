"""Readers without a group: seeking, pausing, waiting, offsets by time."""

from __future__ import annotations

import asyncio
import contextlib
import time

from bridge.kit.log.harness import (
    WAIT_TIMEOUT_S,
    LogHarness,
    from_beginning,
    read_all,
    read_count,
    topic,
)
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, Record, TopicPartition


def numbered(count: int, start: int = 0, partition: int = 0) -> list[Entry]:
    """Entries whose value is their number."""
    return [Entry(b"k", b"%d" % at, partition=partition) for at in range(start, start + count)]


class ReadingSuite(LogHarness):
    """What `Log.reader` and the offsets promise."""

    async def test_a_reader_gets_at_most_what_it_asked_for_and_goes_on_from_there(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("limit"))
        await log.append(name, numbered(10))
        reader = await log.reader(from_beginning(name))

        records: list[Record] = []
        while len(records) < 10:
            first_records = await reader.read(3, WAIT_TIMEOUT_S)
            assert 1 <= len(first_records) <= 3
            records += first_records
            assert reader.position(TopicPartition(name, 0)) == first_records[-1].offset + 1

        assert [record.value for record in records] == [b"%d" % at for at in range(10)]
        assert await reader.read(3, 0.05) == []
        await reader.close()

    async def test_a_reader_can_be_moved_back_and_forward(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("seek"))
        await log.append(name, numbered(20))
        offsets = [record.offset for record in await read_all(log, from_beginning(name))]
        partition = TopicPartition(name, 0)
        reader = await log.reader({partition: offsets[15]})

        assert (await read_count(reader, 5))[0].value == b"15"
        reader.seek(partition, offsets[2])
        assert (await reader.read(1, WAIT_TIMEOUT_S))[0].value == b"2"
        reader.seek(partition, offsets[18])
        assert [record.value for record in await read_count(reader, 2)] == [b"18", b"19"]
        await reader.close()

    async def test_paused_partitions_deliver_nothing_until_they_are_resumed(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("pause"), 2)
        await log.append(name, [*numbered(5), *numbered(5, 100, 1)])
        reader = await log.reader(from_beginning(name, 2))
        first = TopicPartition(name, 0)

        reader.pause([first])
        records = await read_count(reader, 5)
        assert {record.partition for record in records} == {1}
        assert await reader.read(100, 0.1) == []
        reader.resume([first])
        assert {record.partition for record in await read_count(reader, 5)} == {0}
        await reader.close()

    async def test_pausing_keeps_what_was_already_on_its_way(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("prefetched"))
        await log.append(name, numbered(50))
        reader = await log.reader(from_beginning(name))
        records = await reader.read(10, WAIT_TIMEOUT_S)

        reader.pause(from_beginning(name))
        assert await reader.read(10, 0.1) == []
        reader.resume(from_beginning(name))
        records += await read_count(reader, 50 - len(records))

        assert [record.value for record in records] == [b"%d" % at for at in range(50)]
        await reader.close()

    async def test_an_empty_read_takes_its_time_out_and_not_much_more(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("timeout"))
        reader = await log.reader(from_beginning(name))
        await reader.read(1, 0.0)
        began = time.monotonic()

        assert await reader.read(10, 0.4) == []

        assert 0.35 <= time.monotonic() - began < WAIT_TIMEOUT_S / 3
        await reader.close()

    async def test_a_waiting_reader_wakes_when_another_client_appends(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("wake"))
        other = under_test.make()
        await other.open()
        reader = await log.reader(from_beginning(name))
        waiting = asyncio.create_task(reader.read(10, WAIT_TIMEOUT_S))
        await asyncio.sleep(0.3)
        began = time.monotonic()

        await other.append(name, [Entry(b"k", b"v")])
        records = await waiting

        assert [record.value for record in records] == [b"v"]
        assert time.monotonic() - began < WAIT_TIMEOUT_S / 2
        await reader.close()
        await other.close()

    async def test_a_cancelled_read_loses_no_record(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("cancelled"))
        reader = await log.reader(from_beginning(name))
        records: list[Record] = []
        for start in range(0, 200, 10):
            waiting = asyncio.create_task(reader.read(7, 5.0))
            await asyncio.sleep(0)
            await log.append(name, numbered(10, start))
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                records += await waiting

        records += await read_count(reader, 200 - len(records))

        assert [int(record.value or b"") for record in records] == list(range(200))
        await reader.close()

    async def test_offsets_tell_where_a_partition_begins_and_ends(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("ends"), 2)
        await log.append(name, numbered(7))

        records = await read_all(log, from_beginning(name, 2))
        begin = await log.beginning_offsets(from_beginning(name, 2))
        end = await log.end_offsets(from_beginning(name, 2))

        first, second = TopicPartition(name, 0), TopicPartition(name, 1)
        assert begin[first] <= records[0].offset
        assert end[first] > records[-1].offset
        assert begin[second] == end[second]

    async def test_offsets_by_time_are_the_first_at_or_after_it(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("times"), 2)
        stamps = [1_700_000_000_000 + 1000 * at for at in range(10)]
        await log.append(name, [Entry(b"k", b"a", (), at, 0) for at in stamps[:5]])
        await log.append(name, [Entry(b"k", b"b", (), at, 0) for at in stamps[5:]])
        records = await read_all(log, from_beginning(name, 2))
        offsets = [record.offset for record in records]
        first, second = TopicPartition(name, 0), TopicPartition(name, 1)

        for number in (0, 4, 5, 9):
            at = await log.offsets_at([first], stamps[number])
            assert at == {first: offsets[number]}
        between = await log.offsets_at([first, second], stamps[6] + 1)
        end = await log.end_offsets([first, second])
        assert between == {first: offsets[7], second: end[second]}
        assert await log.offsets_at([first], stamps[9] + 1) == {first: end[first]}
        assert await log.offsets_at([first], 0) == {first: offsets[0]}
