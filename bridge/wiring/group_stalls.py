"""Which consumer groups make no progress although there is work for them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from bridge.log.port import GroupInfo, Log, TopicPartition
from bridge.model.work_progress import Stall, WorkProgress, find_stall
from bridge.wiring.group_reports import reported_groups

READ_TIMEOUT_S: Final = 1.0
NO_MEMBER: Final = (
    "it has unread records, and no process is a member of it: start the one that runs it, or, where "
    "nobody needs it any more, `bridgectl log offsets delete` its group"
)


async def group_stalls(
    log: Log,
    bridge: str,
    groups: Mapping[str, GroupInfo],
    lagging: Collection[str],
    *,
    now: int,
    stalled_after_s: float,
) -> dict[str, Stall]:
    """By group, the oldest stall of it. `lagging`: the groups that have unread records; `now` in
    microseconds. A group with members is as its members say; to one without something is owed since
    its oldest unread record.
    """
    ours = {name: info for name, info in groups.items() if name.startswith(f"{bridge}.")}
    reports = await reported_groups(log, bridge, now)
    work = {name: each for name, each in reports.items() if name in ours}
    deserted = {name: info for name, info in ours.items() if not info.members and name in lagging}
    for name, timestamp in (await _oldest_unread(log, deserted)).items():
        work[name] = [WorkProgress("group", name, 0, timestamp * 1000, NO_MEMBER)]
    stalls: dict[str, Stall] = {}
    for name, members in work.items():
        member_stalls = [find_stall(each, now, stalled_after_s) for each in members]
        stalled = [stall for stall in member_stalls if stall is not None]
        if stalled:
            stalls[name] = min(stalled, key=lambda stall: stall.since)
    return stalls


async def _oldest_unread(log: Log, groups: Mapping[str, GroupInfo]) -> dict[str, int]:
    """The timestamp of the oldest record that a group hasn't read, where there is one."""
    topics = await log.topics()
    places = sorted(
        {
            partition
            for info in groups.values()
            for partition in info.committed
            if partition.topic in topics
        }
    )
    ends, first = await log.end_offsets(places), await log.beginning_offsets(places)
    oldest: dict[str, int] = {}
    for name, info in groups.items():
        starts = {
            partition: max(offset, first[partition])
            for partition, offset in info.committed.items()
            if partition in ends and offset < ends[partition]
        }
        timestamps = await _first_timestamps(log, starts)
        if timestamps:
            oldest[name] = min(timestamps)
    return oldest


async def _first_timestamps(log: Log, starts: Mapping[TopicPartition, int]) -> list[int]:
    """Of the first record from each of these offsets on, where there is one: on Kafka the marks of
    transactions take offsets, too.
    """

    async def first(partition: TopicPartition, start: int) -> list[int]:
        reader = await log.reader({partition: start})
        try:
            return [record.timestamp for record in await reader.read(1, READ_TIMEOUT_S)]
        finally:
            await reader.close()

    timestamps_by_partition = await asyncio.gather(
        *(first(partition, start) for partition, start in starts.items())
    )
    return [timestamp for timestamps in timestamps_by_partition for timestamp in timestamps]
