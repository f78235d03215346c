"""What goes in comes out: order, keys, values, headers, timestamps, sizes."""

from __future__ import annotations

import time

import pytest

from bridge.kit.log.harness import LogHarness, from_beginning, read_all, read_count, topic
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, RecordTooLarge, TopicPartition
from bridge.model.errors import ConfigurationError
from bridge.plan.murmur2 import partition


class RecordSuite(LogHarness):
    """Appending and reading back."""

    async def test_records_of_a_partition_come_in_the_order_of_their_append(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("order"), 3)
        for batch in range(5):
            entries = [Entry(None, b"%d" % (batch * 60 + at), partition=at % 3) for at in range(60)]
            await log.append(name, entries)

        records = await read_all(log, from_beginning(name, 3))

        for number in range(3):
            mine = [record for record in records if record.partition == number]
            assert [int(record.value or b"") for record in mine] == list(range(number, 300, 3))
            offsets = [record.offset for record in mine]
            assert offsets == sorted(set(offsets))

    async def test_keys_values_headers_and_timestamps_come_back_as_they_were(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("bytes"))
        many = [(f"h{at}", b"%d" % at) for at in range(40)]
        entries = [
            Entry(b"k", b"v", [("ce_id", b"erp:1"), ("content-type", b"application/avro")], 1),
            Entry(b"", b"", [], 1_700_000_000_000),
            Entry(None, b"\x00\xff", [("same", b"1"), ("same", b"2")], 1_700_000_000_001),
            Entry(b"gone", None, [("empty", b"")], 1_700_000_000_002),
            Entry(b"k", b"v", many, 1_700_000_000_003),
            Entry(b"k", b"v", [("naïve ✓", b"\xf0\x9f")], 1_700_000_000_004),
        ]

        await log.append(name, entries)

        records = await read_all(log, from_beginning(name))
        assert [
            (record.key, record.value, [*map(tuple, record.headers)], record.timestamp)
            for record in records
        ] == [(entry.key, entry.value, [*entry.headers], entry.timestamp) for entry in entries]
        assert {(record.topic, record.partition) for record in records} == {(name, 0)}

    async def test_plain_tuples_serve_as_entries(self, log: Log, under_test: LogUnderTest) -> None:
        name = await topic(log, under_test.name("plain"), 2)
        plain: list[Entry] = [(b"k", b"v", [("h", b"1")], 7, 1)]  # type: ignore[list-item]

        await log.append(name, plain)

        (record,) = await read_all(log, from_beginning(name, 2))
        assert tuple(record)[1] == 1
        assert (record.key, record.value, record.timestamp) == (b"k", b"v", 7)

    async def test_a_record_without_a_timestamp_gets_the_time_of_its_append(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("now"))
        before = int(time.time() * 1000)

        await log.append(name, [Entry(b"k", b"v")])

        (record,) = await read_all(log, from_beginning(name))
        assert before - 1 <= record.timestamp <= int(time.time() * 1000) + 1

    async def test_a_key_chooses_its_partition_by_murmur2_and_none_means_the_first(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("spread"), 5)
        keys = [b"%d" % at for at in range(200)]

        await log.append(name, [*(Entry(key, key) for key in keys), Entry(None, b"keyless")])

        records = await read_all(log, from_beginning(name, 5))
        where = {record.value: record.partition for record in records}
        assert where == {**{key: partition(key, 5) for key in keys}, b"keyless": 0}
        assert len({*where.values()}) == 5

    @pytest.mark.parametrize("size", [1, 1_000, 100_000, 900_000])
    async def test_records_from_one_byte_to_900_kb_come_back_whole(
        self, log: Log, under_test: LogUnderTest, size: int
    ) -> None:
        name = await topic(log, under_test.name("sizes"))
        value = bytes(at % 251 for at in range(size))

        await log.append(name, [Entry(b"before", b"1"), Entry(b"k", value), Entry(b"after", b"2")])

        records = await read_all(log, from_beginning(name))
        assert [record.key for record in records] == [b"before", b"k", b"after"]
        assert records[1].value == value

    async def test_one_append_may_hold_many_large_records(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """More than what a broker takes in one request: splitting it is the log's work."""
        name = await topic(log, under_test.name("bulk"))
        values = [bytes([at]) * 700_000 for at in range(8)]

        await log.append(name, [Entry(b"k", value) for value in values])

        records = await read_all(log, from_beginning(name))
        assert [record.value for record in records] == values

    async def test_a_record_over_the_limit_is_refused_and_none_of_its_batch_is_there(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("toolarge"))
        large = b"x" * (log.max_record_bytes + 1)

        with pytest.raises(RecordTooLarge) as refused:
            await log.append(name, [Entry(b"small", b"1"), Entry(b"k", large)])

        assert name in str(refused.value)
        assert refused.value.code == "record_too_large"
        assert await read_all(log, from_beginning(name)) == []

    async def test_appending_nothing_is_nothing(self, log: Log, under_test: LogUnderTest) -> None:
        name = await topic(log, under_test.name("nothing"))

        await log.append(name, [])

        assert await read_all(log, from_beginning(name)) == []

    async def test_an_unknown_topic_is_a_configuration_error_that_names_it(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = under_test.name("nowhere")

        with pytest.raises(ConfigurationError, match=name):
            await log.append(name, [Entry(b"k", b"v")])
        with pytest.raises(ConfigurationError, match=name):
            await log.end_offsets([TopicPartition(name, 0)])

    async def test_what_was_appended_is_there_for_another_client(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("durable"))
        await log.append(name, [Entry(b"k", b"v")])
        other = under_test.make()
        await other.open()
        try:
            reader = await other.reader(from_beginning(name))
            assert [record.value for record in await read_count(reader, 1)] == [b"v"]
            await reader.close()
        finally:
            await other.close()
