"""One live owner of a transactional id: whoever opens it fences the one before."""

from __future__ import annotations

import pytest

from bridge.kit.log.harness import LogHarness, from_beginning, read_all, topic
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, TopicPartition
from bridge.model.errors import Fenced


class FencingSuite(LogHarness):
    """What `Log.producer` promises of the owner before."""

    async def test_a_second_producer_fences_the_first(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("zombie"))
        group, partition = under_test.name("group"), TopicPartition(name, 0)
        identity = under_test.name("producer")
        other = under_test.make()
        await other.open()
        old = await log.producer(identity)
        async with old.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"old")])

        new = await other.producer(identity)
        with pytest.raises(Fenced):
            async with old.transaction() as transaction:
                await transaction.append(name, [Entry(b"k", b"zombie")])
                transaction.commit_offsets(group, {partition: 9})
        async with new.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"new")])

        records = [record.value for record in await read_all(log, from_beginning(name))]
        assert records == [b"old", b"new"]
        assert await log.committed(group, [partition]) == {partition: None}
        await old.close()
        await new.close()
        await other.close()

    async def test_a_producer_fenced_in_mid_transaction_commits_nothing(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("taken"), 2)
        group, partition = under_test.name("group"), TopicPartition(name, 0)
        identity = under_test.name("producer")
        other = under_test.make()
        await other.open()
        old = await log.producer(identity)

        with pytest.raises(Fenced):
            async with old.transaction() as transaction:
                await transaction.append(name, [*numbered(5), *numbered(5, 0, 1)])
                transaction.commit_offsets(group, {partition: 9})
                new = await other.producer(identity)
                assert await read_all(other, from_beginning(name, 2)) == []

        async with new.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"new")])
        assert [record.value for record in await read_all(log, from_beginning(name, 2))] == [b"new"]
        assert await log.committed(group, [partition]) == {partition: None}
        await old.close()
        await new.close()
        await other.close()

    async def test_a_fenced_producer_stays_fenced(self, log: Log, under_test: LogUnderTest) -> None:
        name = await topic(log, under_test.name("fenced"))
        identity = under_test.name("producer")
        old = await log.producer(identity)
        new = await log.producer(identity)

        for _ in range(2):
            with pytest.raises(Fenced):
                async with old.transaction() as transaction:
                    await transaction.ready({name: [Entry(b"k", None)]})
                    await transaction.append(name, [Entry(b"k", b"zombie")])

        assert await read_all(log, from_beginning(name)) == []
        await old.close()
        async with new.transaction() as transaction:
            await transaction.append(name, [Entry(b"k", b"new")])
        assert len(await read_all(log, from_beginning(name))) == 1
        await new.close()

    async def test_what_was_committed_before_a_takeover_is_visible_once_it_is_done(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("before"))
        group, partition = under_test.name("group"), TopicPartition(name, 0)
        identity = under_test.name("producer")
        for at in range(5):
            producer = await log.producer(identity)
            assert len(await read_all(log, from_beginning(name))) == at
            assert (await log.committed(group, [partition]))[partition] == (at or None)
            async with producer.transaction() as transaction:
                await transaction.append(name, numbered(1, at))
                transaction.commit_offsets(group, {partition: at + 1})
            await producer.close()
