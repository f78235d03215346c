"""Transactions: all or nothing for `read_committed` readers."""

from __future__ import annotations

import asyncio

import pytest

from bridge.kit.log.harness import (
    LogHarness,
    from_beginning,
    offsets_after,
    read_all,
    read_count,
    topic,
)
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, RecordTooLarge, TopicPartition
from bridge.model.errors import ConfigurationError


class AbortedOnPurpose(Exception):
    """What a block raises so that its transaction aborts."""


class TransactionSuite(LogHarness):
    """What `Log.producer` and its transactions promise."""

    async def test_topics_offsets_and_a_checkpoint_become_visible_together(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events, commands = [
            await topic(log, under_test.name(what), 3) for what in ("events", "commands")
        ]
        positions = await topic(log, under_test.name("positions"))
        group, partition = under_test.name("group"), TopicPartition(events, 0)
        producer = await log.producer(under_test.name("producer"))
        everything = {
            **from_beginning(events, 3),
            **from_beginning(commands, 3),
            **from_beginning(positions),
        }

        async with producer.transaction() as transaction:
            for at in range(3):
                await transaction.append(events, numbered(5, 0, at))
            await transaction.append(commands, [Entry(b"c", b"1"), Entry(b"d", None)])
            await transaction.append(positions, [Entry(b"erp", b"checkpoint")])
            transaction.commit_offsets(group, {partition: 4})
            assert await read_all(log, everything) == []
            assert await log.committed(group, [partition]) == {partition: None}

        records = await read_all(log, everything)
        assert len(records) == 15 + 2 + 1
        assert await log.committed(group, [partition]) == {partition: 4}
        for at in range(3):
            mine = [r.value for r in records if (r.topic, r.partition) == (events, at)]
            assert mine == [b"%d" % number for number in range(5)]
        await producer.close()

    async def test_an_aborted_transaction_is_never_seen(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("aborted"), 2)
        group, partition = under_test.name("group"), TopicPartition(name, 0)
        producer = await log.producer(under_test.name("producer"))

        with pytest.raises(AbortedOnPurpose):
            async with producer.transaction() as transaction:
                await transaction.append(name, [*numbered(5), *numbered(5, 0, 1)])
                transaction.commit_offsets(group, {partition: 3})
                raise AbortedOnPurpose
        async with producer.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"kept")])

        assert [record.value for record in await read_all(log, from_beginning(name, 2))] == [
            b"kept"
        ]
        assert await log.committed(group, [partition]) == {partition: None}
        await producer.close()

    async def test_transactions_of_one_producer_follow_each_other_in_order(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("sequence"))
        producer = await log.producer(under_test.name("producer"))

        for at in range(20):
            async with producer.transaction() as transaction:
                await transaction.append(name, numbered(3, at * 3))

        records = await read_all(log, from_beginning(name))
        assert [int(record.value or b"") for record in records] == list(range(60))
        await producer.close()

    async def test_offsets_by_time_pass_no_record_that_is_committed_meanwhile(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """Whoever reads on from there sees what is committed while the log is asked."""
        name = await topic(log, under_test.name("meanwhile"))
        partition = TopicPartition(name, 0)
        producer = await log.producer(under_test.name("producer"))
        began = 1_700_000_000_000

        async def commit(stamp: int) -> None:
            async with producer.transaction() as transaction:
                await transaction.append(name, [Entry(b"k", b"%d" % stamp, (), stamp)])

        passed: list[tuple[int, int]] = []
        for stamp in range(began, began + 60):
            end = (await log.end_offsets([partition]))[partition]
            committing = asyncio.create_task(commit(stamp))
            while not committing.done():
                at = (await log.offsets_at([partition], stamp))[partition]
                passed.append((at, end))
            await committing
        records = await read_all(log, from_beginning(name))
        offsets = [record.offset for record in records]
        for at, end in passed:
            # The round's own record is the first one at or after its `end`.
            assert at <= next(offset for offset in offsets if offset >= end)
        await producer.close()

    async def test_an_empty_transaction_is_nothing(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        producer = await log.producer(under_test.name("producer"))

        async with producer.transaction():
            pass
        async with producer.transaction() as transaction:
            transaction.commit_offsets(under_test.name("group"), {})

        await producer.close()

    async def test_what_was_made_ready_may_be_appended_or_not(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("ready"), 3)
        other = await topic(log, under_test.name("other"))
        producer = await log.producer(under_test.name("producer"))
        plain: list[Entry] = [(b"k", None, (), None, None)]  # type: ignore[list-item]
        prepared = {name: [*numbered(2, 0, 0), *numbered(2, 0, 1)], other: plain}

        async with producer.transaction() as transaction:
            await transaction.ready(prepared)
        with pytest.raises(AbortedOnPurpose):
            async with producer.transaction() as transaction:
                await transaction.ready(prepared)
                raise AbortedOnPurpose
        async with producer.transaction() as transaction:
            await transaction.ready(prepared)
            await transaction.ready(prepared)
            await transaction.append(name, numbered(3, 0, 2))
            await transaction.append(name, prepared[name])

        records = await read_all(log, {**from_beginning(name, 3), **from_beginning(other)})
        assert sorted((first_prepared.partition, first_prepared.value) for first_prepared in records) == [
            (0, b"0"), (0, b"1"), (1, b"0"), (1, b"1"), (2, b"0"), (2, b"1"), (2, b"2"),
        ]  # fmt: skip
        await producer.close()

    async def test_one_transaction_may_hold_thousands_of_records(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("bulk"), 3)
        producer = await log.producer(under_test.name("producer"))
        headers = [("ce_id", b"erp:0001"), ("ce_type", b"acme.erp.order.update")]
        entries = [Entry(b"%d" % at, b"%d" % at, headers, 5) for at in range(6000)]

        async with producer.transaction() as transaction:
            for at in range(0, 6000, 2000):
                await transaction.append(name, entries[at : at + 2000])

        records = await read_all(log, from_beginning(name, 3))
        assert sorted(int(record.value or b"") for record in records) == list(range(6000))
        assert all([*map(tuple, record.headers)] == headers for record in records)
        await producer.close()

    async def test_a_refused_record_aborts_its_transaction(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("toolarge"))
        producer = await log.producer(under_test.name("producer"))
        large = b"x" * (log.max_record_bytes + 1)

        with pytest.raises(RecordTooLarge):
            async with producer.transaction() as transaction:
                await transaction.append(name, numbered(3))
                await transaction.append(name, [Entry(b"k", large)])
        with pytest.raises(ConfigurationError, match="nowhere"):
            async with producer.transaction() as transaction:
                await transaction.append(under_test.name("nowhere"), numbered(1))

        assert await read_all(log, from_beginning(name)) == []
        async with producer.transaction() as transaction:
            await transaction.append(name, numbered(1))
        assert len(await read_all(log, from_beginning(name))) == 1
        await producer.close()

    async def test_a_cancelled_transaction_happened_wholly_or_not_at_all(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        names = [await topic(log, under_test.name(f"cancel{at}")) for at in range(2)]
        identity = under_test.name("producer")
        producer = await log.producer(identity)

        async def write(number: int) -> None:
            async with producer.transaction() as transaction:
                for name in names:
                    await transaction.append(name, numbered(3, number * 3))

        for number in range(12):
            writing = asyncio.create_task(write(number))
            await asyncio.sleep(0.0005 * number)
            writing.cancel()
            try:
                await writing
            except asyncio.CancelledError:
                await producer.close()
                producer = await log.producer(identity)

        records = await read_all(log, [TopicPartition(name, 0) for name in names])
        first, second = (
            [int(r.value or b"") for r in records if r.topic == name] for name in names
        )
        assert first == second
        assert first == [
            number * 3 + at for number in sorted({value // 3 for value in first}) for at in range(3)
        ]
        await producer.close()

    async def test_a_group_reads_events_and_answers_in_one_transaction(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"))
        commands = await topic(log, under_test.name("commands"))
        group = under_test.name("group")
        await log.append(events, numbered(10))
        member = await log.join(group, [events])
        producer = await log.producer(under_test.name("producer"))
        records = await read_count(member, 10)

        async with producer.transaction() as transaction:
            await transaction.append(commands, [Entry(r.key, r.value) for r in records[:4]])
            transaction.commit_offsets(group, offsets_after(records[:4]))
        await member.close()

        again = await log.join(group, [events])
        rest = await read_count(again, 6)
        assert [record.value for record in rest] == [b"%d" % at for at in range(4, 10)]
        assert len(await read_all(log, from_beginning(commands))) == 4
        await again.close()
        await producer.close()
