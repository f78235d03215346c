"""Members of groups: they share partitions, come, leave and are busy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bridge.kit.log.harness import (
    WAIT_TIMEOUT_S,
    LogHarness,
    assigned_to,
    from_beginning,
    offsets_after,
    read_count,
    read_until,
    share,
    topic,
)
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Entry, Log, TopicPartition


class RecordedRebalance:
    """Records the rebalances of a consumer; seeks to the offsets in `seek`."""

    def __init__(self, seek: Mapping[TopicPartition, int] | None = None) -> None:
        self.seek = seek
        self.held: set[TopicPartition] = set()
        self.revocations = 0

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Only partitions that it holds are revoked."""
        assert partitions <= self.held
        self.held -= partitions
        self.revocations += 1

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """Only new partitions are assigned."""
        assert not partitions & self.held
        self.held |= partitions
        if self.seek is None:
            return None
        return {partition: at for partition, at in self.seek.items() if partition in partitions}


class GroupSuite(LogHarness):
    """What `Log.join` promises."""

    async def test_a_lone_member_gets_every_partition_from_the_beginning(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("alone"), 3)
        await log.append(name, [entry for at in range(3) for entry in numbered(4, 0, at)])
        rebalance = RecordedRebalance()
        member = await log.join(under_test.name("group"), [name], rebalance)

        records = await read_count(member, 12)

        assert member.assignment() == set(from_beginning(name, 3)) == rebalance.held
        assert {record.partition for record in records} == {0, 1, 2}
        await member.close()

    async def test_members_share_the_partitions_and_each_record_goes_to_one(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("shared"), 6)
        group = under_test.name("group")
        others = [under_test.make(), under_test.make()]
        for other in others:
            await other.open()
        members = [await each.join(group, [name]) for each in (log, *others)]
        await share(members, 6)
        assert [len(member.assignment()) for member in members] == [2, 2, 2]

        await log.append(name, [entry for at in range(6) for entry in numbered(10, 0, at)])
        received = await asyncio.gather(*(read_count(member, 20) for member in members))

        for member, records in zip(members, received, strict=True):
            mine = {TopicPartition(record.topic, record.partition) for record in records}
            assert mine == member.assignment()
            await member.close()
        for other in others:
            await other.close()

    async def test_a_member_that_leaves_hands_over_at_once_and_its_commits_count(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("leave"))
        group = under_test.name("group")
        await log.append(name, numbered(10))
        first = await log.join(group, [name], session_timeout=2 * WAIT_TIMEOUT_S)
        records = await read_count(first, 10)
        partition = TopicPartition(name, 0)
        await first.commit({partition: records[5].offset})
        assert await log.committed(group, [partition]) == {partition: records[5].offset}
        await first.close()

        second = await log.join(group, [name], session_timeout=2 * WAIT_TIMEOUT_S)
        again = await read_count(second, 5)

        assert [record.value for record in again] == [b"5", b"6", b"7", b"8", b"9"]
        await second.close()

    async def test_a_partition_that_was_paused_when_it_went_is_read_when_it_comes_back(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("deaf"), 2)
        group = under_test.name("group")
        first = await log.join(group, [name])
        await share([first], 2)
        first.pause(from_beginning(name, 2))
        other = under_test.make()
        await other.open()
        second = await other.join(group, [name])
        await share([first, second], 2)
        kept = first.assignment()
        first.resume(kept)
        await second.close()
        await other.close()
        await log.append(name, [entry for at in range(2) for entry in numbered(3, 0, at)])

        # What nobody committed may come twice on the way.
        await read_until(first, lambda records: {record.partition for record in records} == {0, 1})
        await first.close()

    async def test_a_new_member_takes_its_share_and_nothing_is_read_twice_or_lost(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("grow"), 4)
        group = under_test.name("group")
        rebalance = RecordedRebalance()
        first = await log.join(group, [name], rebalance)
        await log.append(name, [entry for at in range(4) for entry in numbered(5, 0, at)])
        records = await read_count(first, 20)
        await first.commit(offsets_after(records))

        other = under_test.make()
        await other.open()
        second = await other.join(group, [name], RecordedRebalance())
        await share([first, second], 4)
        await log.append(name, [entry for at in range(4) for entry in numbered(5, 5, at)])
        mine, theirs = await asyncio.gather(read_count(first, 10), read_count(second, 10))

        assert rebalance.held == first.assignment()
        assert rebalance.revocations >= 1
        seen = sorted((record.partition, int(record.value or b"")) for record in [*mine, *theirs])
        assert seen == [(at, number) for at in range(4) for number in range(5, 10)]
        await first.close()
        await second.close()
        await other.close()

    async def test_offsets_that_a_rebalance_returns_win_over_the_committed_ones(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("returned"), 2)
        group = under_test.name("group")
        await log.append(name, [*numbered(10), *numbered(10, 0, 1)])
        first = await log.join(group, [name])
        records = await read_count(first, 20)
        await first.commit(offsets_after(records))
        await first.close()
        sixth = next(record for record in records if record.value == b"6" and record.partition == 0)

        rebalance = RecordedRebalance({TopicPartition(name, 0): sixth.offset})
        second = await log.join(group, [name], rebalance)
        again = await read_count(second, 4)

        assert [record.value for record in again] == [b"6", b"7", b"8", b"9"]
        await second.close()

    async def test_offsets_committed_while_a_rebalance_is_told_are_those_read_from(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """What a fenced owner committed last must be seen: so offsets are read afterwards."""
        name = await topic(log, under_test.name("late"))
        group = under_test.name("group")
        await log.append(name, numbered(10))
        partition = TopicPartition(name, 0)
        reader = await log.reader(from_beginning(name))
        offsets = [record.offset for record in await read_count(reader, 10)]
        await reader.close()

        class Commits(RecordedRebalance):
            async def assigned(
                self, partitions: frozenset[TopicPartition]
            ) -> Mapping[TopicPartition, int] | None:
                producer = await log.producer(under_test.name("late"))
                async with producer.transaction() as transaction:
                    transaction.commit_offsets(group, {partition: offsets[8]})
                await producer.close()
                return await super().assigned(partitions)

        member = await log.join(group, [name], Commits())

        assert [record.value for record in await read_count(member, 2)] == [b"8", b"9"]
        await member.close()

    async def test_a_member_that_reads_several_topics_gets_all_of_them(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        names = [await topic(log, under_test.name(f"t{at}"), 2) for at in range(3)]
        for name in names:
            await log.append(name, [Entry(b"k", name.encode(), partition=1)])
        member = await log.join(under_test.name("group"), names)

        records = await read_count(member, 3)

        assert {record.value for record in records} == {name.encode() for name in names}
        await member.close()

    async def test_a_member_stays_one_while_nobody_reads(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        """A handler may take longer than a session."""
        name = await topic(log, under_test.name("busy"), 2)
        group = under_test.name("group")
        first = await log.join(group, [name], session_timeout=under_test.session_timeout)
        await assigned_to(first, 2)
        await asyncio.sleep(under_test.session_timeout * 2)

        assert len((await log.groups())[group].members) == 1
        await log.append(name, numbered(1))
        records = await read_until(first, bool)
        await first.commit(offsets_after(records))
        await first.close()
