"""Where a view begins to read, and whether the log is the one that it knows."""

from __future__ import annotations

from contextlib import aclosing

from bridge.gateway.copy.system_topics import CopyTopics, last_offset
from bridge.gateway.follower.followed_topics import partitions_to_follow
from bridge.gateway.view.view_state import LastRecord, ViewState, last_record
from bridge.log.port import Log, TopicPartition
from bridge.log.read_to_end import read_to_end


class ViewRebuild(Exception):
    """The file can't be continued; the reason is for people."""


async def starting_offsets(
    log: Log, topics: CopyTopics, system: str, state: ViewState
) -> dict[TopicPartition, int]:
    """Where to begin: where the file ends, or with the first record; with the last one of the system in
    capture's own topics. Raises ViewRebuild if the file doesn't go with this log, RetryLater.
    """
    partitions = partitions_to_follow(await log.topics(), topics.names)
    begins = await log.beginning_offsets(partitions)
    starts = dict(begins)
    if state.offsets:
        await check_log(log, state)
    for each in partitions:
        if each.topic in {topics.positions, topics.status}:
            starts[each] = await last_offset(log, each, system.encode())
        elif each in state.offsets:
            starts[each] = state.offsets[each]
            if starts[each] < begins[each]:
                raise ViewRebuild(f"records of {each.topic} were removed before they were read")
    return starts


async def check_log(log: Log, state: ViewState) -> None:
    """Raises ViewRebuild unless the records that were applied last are still where they were: another
    log has others there. One that was compacted away meanwhile counts as another log's, too.
    """
    existing = await log.topics()
    for each in state.offsets:
        topic = existing.get(each.topic)
        if topic is None or each.partition >= topic.partitions:
            raise ViewRebuild(f"{each.topic} was removed from the log")
    ends = await log.high_watermarks(state.offsets)
    for each, offset in state.offsets.items():
        if ends[each] < offset:
            raise ViewRebuild(
                f"the log isn't the one that it was built from: {each.topic} ends early"
            )
    last = {each: record.offset for each, record in state.last.items() if each in state.offsets}
    records: dict[TopicPartition, LastRecord] = {}
    ends = {each: at + 1 for each, at in last.items()}
    async with aclosing(read_to_end(log, last, ends)) as batches:
        async for batch in batches:
            for record in batch:
                at_partition = TopicPartition(record.topic, record.partition)
                records[at_partition] = last_record(record)
    for each, at in last.items():
        if records.get(each) != state.last[each]:
            raise ViewRebuild(
                f"the log isn't the one that it was built from: {each.topic} has another record {at}"
            )
