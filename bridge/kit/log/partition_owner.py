"""Owned partitions (`bridge.log.partition_owner`): a fenced producer for each partition of a member."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from bridge.kit.log.groups import RecordedRebalance
from bridge.kit.log.harness import (
    WAIT_TIMEOUT_S,
    LogHarness,
    from_beginning,
    offsets_after,
    read_all,
    topic,
)
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.partition_owner import PartitionOwner, own_partitions
from bridge.log.port import Entry, Log, Producer, Record, TopicPartition
from bridge.model.errors import Fenced, RetryLater


async def read_owned(owned: PartitionOwner, count: int) -> list[Record]:
    """Read until that many records came."""
    records: list[Record] = []
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while len(records) < count:
            records += await owned.read(1000, 0.5)
    return records


class FlakyProducerLog:
    """A log whose `producer` fails as often as `fails` says."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.fails = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def producer(self, transactional_id: str) -> Producer:
        """Fail, or do it."""
        if self.fails:
            self.fails -= 1
            raise RetryLater("unavailable for a while")
        return await self._log.producer(transactional_id)


class PartitionOwnerSuite(LogHarness):
    """What `own_partitions` promises on this log."""

    async def test_an_owner_answers_and_commits_partition_by_partition(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"), 3)
        answers = await topic(log, under_test.name("answers"), 3)
        bridge, group = under_test.name("bridge"), under_test.name("group")
        await log.append(events, [entry for at in range(3) for entry in numbered(5, 0, at)])

        async with own_partitions(log, bridge, group, [events]) as owned:
            records = await read_owned(owned, 15)
            for partition in from_beginning(events, 3):
                mine = [record for record in records if record.partition == partition.partition]
                async with owned.transaction(partition) as transaction:
                    await transaction.append(
                        answers, [Entry(r.key, r.value, partition=r.partition) for r in mine]
                    )
                    transaction.commit_offsets(group, offsets_after(mine))

        assert len(await read_all(log, from_beginning(answers, 3))) == 15
        assert await log.committed(group, from_beginning(events, 3)) == offsets_after(records)

    async def test_the_next_owner_starts_where_the_last_one_committed(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"))
        bridge, group = under_test.name("bridge"), under_test.name("group")
        partition = TopicPartition(events, 0)
        await log.append(events, numbered(10))

        async with own_partitions(log, bridge, group, [events]) as owned:
            records = await read_owned(owned, 10)
            async with owned.transaction(partition) as transaction:
                transaction.commit_offsets(group, offsets_after(records[:7]))
        async with own_partitions(log, bridge, group, [events]) as owned:
            again = await read_owned(owned, 3)

        assert [record.value for record in again] == [b"7", b"8", b"9"]

    async def test_a_partition_that_moved_is_told_and_can_not_be_written_for_any_more(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"), 2)
        bridge, group = under_test.name("bridge"), under_test.name("group")
        other = under_test.make()
        await other.open()
        rebalance = RecordedRebalance()

        async with own_partitions(log, bridge, group, [events], rebalance) as first:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                while len(rebalance.held) < 2:
                    await first.read(10, 0.1)
            async with own_partitions(other, bridge, group, [events]) as second:
                async with asyncio.timeout(WAIT_TIMEOUT_S):
                    while len(rebalance.held) != 1 or len(second.member.assignment()) != 1:
                        await asyncio.gather(first.read(10, 0.1), second.read(10, 0.1))
                (gone,) = second.member.assignment()
                (kept,) = rebalance.held

                with pytest.raises(Fenced, match=events):
                    async with first.transaction(gone) as transaction:
                        transaction.commit_offsets(group, {gone: 1})
                async with first.transaction(kept) as transaction:
                    transaction.commit_offsets(group, {kept: 0})
                async with second.transaction(gone) as transaction:
                    transaction.commit_offsets(group, {gone: 0})

        assert await log.committed(group, [gone, kept]) == {gone: 0, kept: 0}
        await other.close()

    async def test_an_owner_fenced_by_a_late_zombie_takes_its_partition_back(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """A zombie may open the producer after its successor did, before it finds out."""
        events = await topic(log, under_test.name("events"))
        answers = await topic(log, under_test.name("answers"))
        bridge, group = under_test.name("bridge"), under_test.name("group")
        partition = TopicPartition(events, 0)
        await log.append(events, numbered(4))
        rebalance = RecordedRebalance()

        async with own_partitions(log, bridge, group, [events], rebalance) as owned:
            records = await read_owned(owned, 4)
            zombie = await log.producer(f"{bridge}.{group}.{events}.0")
            with pytest.raises(Fenced):
                async with owned.transaction(partition) as transaction:
                    await transaction.append(answers, numbered(4))
                    transaction.commit_offsets(group, offsets_after(records))
            again = await read_owned(owned, 4)
            async with owned.transaction(partition) as transaction:
                await transaction.append(answers, numbered(4))
                transaction.commit_offsets(group, offsets_after(again))
            with pytest.raises(Fenced):
                async with zombie.transaction() as transaction:
                    await transaction.append(answers, numbered(4))
            await zombie.close()

        assert [record.value for record in again] == [record.value for record in records]
        assert len(await read_all(log, from_beginning(answers))) == 4
        assert rebalance.revocations == 1

    async def test_a_partition_that_could_not_be_taken_yet_is_taken_by_a_later_read(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        events = await topic(log, under_test.name("events"))
        bridge, group = under_test.name("bridge"), under_test.name("group")
        partition = TopicPartition(events, 0)
        await log.append(events, numbered(2))
        rebalance = RecordedRebalance()
        flaky = FlakyProducerLog(log)
        flaky.fails = 1

        async with own_partitions(cast("Log", flaky), bridge, group, [events], rebalance) as owned:
            with pytest.raises(RetryLater):
                await read_owned(owned, 2)
            await read_owned(owned, 2)
            zombie = await log.producer(f"{bridge}.{group}.{events}.0")
            with pytest.raises(Fenced):
                async with owned.transaction(partition) as transaction:
                    transaction.commit_offsets(group, {partition: 1})
            flaky.fails = 1
            with pytest.raises(RetryLater):
                await owned.read(10, 0.1)
            assert rebalance.held == set()
            assert len(await read_owned(owned, 2)) == 2
            async with owned.transaction(partition) as transaction:
                transaction.commit_offsets(group, {partition: 2})

        assert rebalance.held == {partition}
        await zombie.close()
