"""What a person changes of consumer groups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, GroupInfo, TopicPartition, TopicSpec
from bridge.model.errors import Fenced
from bridge.wiring.group_changes import delete_group, live_members, removed_before_read
from bridge.wiring.group_state import UNFINISHED
from tests.log.removal import remove_embedded


def test_live_members_keep_a_group_as_it_is() -> None:
    assert live_members(GroupInfo("g", (), {})) == ""
    assert "'g' has live members (m1, m2)" in live_members(GroupInfo("g", ("m1", "m2"), {}))


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.db", compact_every=None)
    await log.open()
    await log.create_topics([TopicSpec("t", partitions=1)])
    for number in range(10):
        await log.append("t", [Entry(None, b"%d" % number)])
    yield log
    await log.close()


async def test_what_was_removed_before_a_group_read_it_can_be_given_up(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    partition, gone = TopicPartition("t", 0), TopicPartition("gone", 0)
    group = GroupInfo("g", (), {partition: 2, gone: 5})
    assert await removed_before_read(log, group) == []

    remove_embedded(tmp_path / "log.db", partition, 7)

    [lag] = await removed_before_read(log, group)
    assert (lag.partition, lag.committed, lag.start, lag.missing) == (partition, 2, 7, 5)


async def test_a_replay_that_is_under_way_commits_no_more_once_its_group_is_deleted(
    log: EmbeddedLog,
) -> None:
    group, partition = "acme.replay.one", TopicPartition("t", 0)
    replay = await log.producer(group)
    async with replay.transaction() as transaction:
        transaction.commit_offsets(group, {partition: 3})

    await delete_group(log, group, UNFINISHED)

    with pytest.raises(Fenced):
        async with replay.transaction() as transaction:
            transaction.commit_offsets(group, {partition: 4})
    assert group not in await log.groups()
    await replay.close()
