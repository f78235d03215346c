"""Offsets of groups: listed, reset by hand, and deleted with their group."""

from __future__ import annotations

import pytest

from bridge.kit.log.harness import (
    LogHarness,
    offsets_after,
    read_count,
    topic,
)
from bridge.kit.log.reading import numbered
from bridge.kit.log.under_test import LogUnderTest
from bridge.log.port import Log, TopicPartition
from bridge.model.errors import Rejected


class GroupOffsetSuite(LogHarness):
    """What a log promises of groups' offsets."""

    async def test_groups_are_independent_of_each_other(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("apart"))
        await log.append(name, numbered(3))

        for _ in range(2):
            member = await log.join(under_test.name("group"), [name])
            assert len(await read_count(member, 3)) == 3
            await member.close()

    async def test_groups_are_listed_with_members_and_commits(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("listed"))
        group = under_test.name("group")
        await log.append(name, numbered(3))
        member = await log.join(group, [name])
        records = await read_count(member, 3)
        await member.commit(offsets_after(records))

        seen = (await log.groups())[group]

        assert len(seen.members) == 1
        assert seen.committed == offsets_after(records)
        await member.close()

    async def test_a_group_that_never_committed_has_none(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("never"))
        partition = TopicPartition(name, 0)

        assert await log.committed(under_test.name("group"), [partition]) == {partition: None}

    async def test_offsets_are_reset_by_hand_only_while_nobody_is_a_member(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("reset"))
        group = under_test.name("group")
        await log.append(name, numbered(5))
        partition = TopicPartition(name, 0)
        member = await log.join(group, [name])
        records = await read_count(member, 5)
        await member.commit(offsets_after(records))

        with pytest.raises(Rejected, match=group):
            await log.reset_offsets(group, {partition: records[1].offset})
        await member.close()
        await log.reset_offsets(group, {partition: records[1].offset})

        assert await log.committed(group, [partition]) == {partition: records[1].offset}
        again = await log.join(group, [name])
        assert (await read_count(again, 4))[0].value == b"1"
        await again.close()

    async def test_a_group_that_was_deleted_is_gone_and_begins_anew(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("deleted"))
        group, other = under_test.name("group"), under_test.name("other")
        await log.append(name, numbered(5))
        partition = TopicPartition(name, 0)
        producer = await log.producer(under_test.name("deleting"))
        async with producer.transaction() as transaction:
            transaction.commit_offsets(group, {partition: 2})
        async with producer.transaction() as transaction:
            transaction.commit_offsets(other, {partition: 2})
        await producer.close()
        assert await log.committed(group, [partition]) == {partition: 2}

        await log.delete_group(group)

        assert await log.committed(group, [partition]) == {partition: None}
        assert await log.committed(other, [partition]) == {partition: 2}
        assert group not in await log.groups()
        member = await log.join(group, [name])
        assert (await read_count(member, 5))[0].value == b"0"
        await member.close()

    async def test_a_group_with_a_live_member_is_not_deleted(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        name = await topic(log, under_test.name("alive"))
        group = under_test.name("group")
        await log.append(name, numbered(5))
        member = await log.join(group, [name])
        records = await read_count(member, 5)
        await member.commit(offsets_after(records))

        with pytest.raises(Rejected, match=group):
            await log.delete_group(group)

        assert await log.committed(group, [TopicPartition(name, 0)]) == offsets_after(records)
        await member.close()
        await log.delete_group(group)
        assert group not in await log.groups()

    async def test_a_group_that_is_not_there_is_deleted_already(
        self, log: Log, under_test: LogUnderTest
    ) -> None:
        await log.delete_group(under_test.name("never"))
