"""Past records that a group can't get past by itself: which they are, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from bridge.agent.group import agent_group
from bridge.commands.group import executor_group
from bridge.log.port import GroupInfo, Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.log.system_topics import ENTRY_OVERHEAD, SystemTopicCodec
from bridge.model import headers
from bridge.model.names import COMMANDS, system_topic
from bridge.model.system_records import DeadLetter

SKIPPED = "Skipped"
"""`DeadLetter.error` of a record that an operator skipped."""


async def next_records(
    log: Log, group: GroupInfo, partition: TopicPartition, count: int
) -> Sequence[Record]:
    """Up to `count` records of a partition, those that the group would read next."""
    begin = (await log.beginning_offsets([partition]))[partition]
    start = max(group.committed.get(partition, begin), begin)
    records: list[Record] = []
    async with aclosing(read_to_end(log, {partition: start}, limit=count)) as batches:
        async for batch in batches:
            records += batch
            if len(records) >= count:
                break
    return records[:count]


async def bury_records(
    log: Log, codec: SystemTopicCodec, bridge: str, group: str, records: Sequence[Record]
) -> None:
    """Append a dead letter for each record that the group skips, so that nothing is gone without a
    trace. The group's offset is not moved.
    """
    topic = codec.topic("dead")
    await log.create_topics([codec.spec("dead")])
    room = log.max_record_bytes - ENTRY_OVERHEAD
    at = datetime.now(UTC)
    letters = [codec.letter(skipped_letter(bridge, group, each, at), room) for each in records]
    for letter in letters:
        await log.append(topic, [letter])


def skipped_letter(bridge: str, group: str, record: Record, at: datetime) -> DeadLetter:
    """The dead letter of a record that an operator skipped for a group. Pure."""
    is_command = record.topic == system_topic(bridge, COMMANDS)
    event_id = dict(record.headers).get(headers.ID)
    return DeadLetter(
        kind="command" if is_command else "event",
        source=group.removeprefix(agent_group(bridge, "")).removeprefix(executor_group(bridge, "")),
        reason=f"an operator skipped it for group {group}",
        at=at,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=None if event_id is None or is_command else event_id.decode(errors="replace"),
        error=SKIPPED,
        key=record.key,
        value=record.value,
    )
