"""Where an agent begins in topics in which its group has no offset yet, and how many events are
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bridge.log.port import Log, TopicPartition

AgentStart = Literal["beginning", "now"] | datetime
"""`beginning`: with the oldest event; `now`: with events written after the start; or with the
events from a given time on.
"""
FIRST_RECORD_TIMEOUT_S = 1.0
MAX_FIRST_RECORDS = 8
"""How many partitions' first records are read, to keep the start of an agent short."""


def parse_start(start: object) -> AgentStart:
    """Parse an agent's `start`; a time may be text (ISO 8601 with a zone). Raises ValueError."""
    if start == "beginning":
        return "beginning"
    if start == "now":
        return "now"
    if isinstance(start, str):
        try:
            start = datetime.fromisoformat(start)
        except ValueError:
            raise ValueError(
                f'{start!r} is neither "beginning", "now" nor a time such as '
                '"2026-01-31T10:00+01:00"'
            ) from None
    if not isinstance(start, datetime):
        raise ValueError(f'a {type(start).__name__} is neither "beginning", "now" nor an instant')  # noqa: TRY004
    if start.utcoffset() is None:
        raise ValueError(f"{start.isoformat()} has no time zone: append +00:00")
    return start


@dataclass(frozen=True, slots=True)
class UnreadTopic:
    """A topic that a new group has not read.
    `events`: at most so many events; `oldest`: the oldest one's time in milliseconds since 1970
    (None: unknown).
    """

    topic: str
    partitions: tuple[TopicPartition, ...]
    events: int
    oldest: int | None

    @property
    def since(self) -> str:
        """The oldest event's time, for messages."""
        if self.oldest is None:
            return ""
        try:
            at = datetime.fromtimestamp(self.oldest / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return ""
        return f" from {at:%Y-%m-%d %H:%M} UTC on"


async def unread_topics(log: Log, group: str, topics: Iterable[str]) -> list[UnreadTopic]:
    """The topics that have events in partitions where the group has no offset."""
    topic_infos = await log.topics()
    places = [
        TopicPartition(topic, number)
        for topic in sorted(topics)
        if topic in topic_infos
        for number in range(topic_infos[topic].partitions)
    ]
    committed = await log.committed(group, places)
    new = [partition for partition in places if committed.get(partition) is None]
    begin, end = await log.beginning_offsets(new), await log.end_offsets(new)
    filled = [partition for partition in new if begin[partition] < end[partition]]
    oldest = await _oldest(log, {partition: begin[partition] for partition in filled})
    unread = []
    for topic in dict.fromkeys(partition.topic for partition in filled):
        mine = tuple(partition for partition in filled if partition.topic == topic)
        events = sum(end[partition] - begin[partition] for partition in mine)
        unread.append(UnreadTopic(topic, mine, events, oldest.get(topic)))
    return unread


async def _oldest(log: Log, offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
    """The time of each topic's first record, from a sample of its partitions; omitted if none
    arrives soon.
    """
    oldest: dict[str, int] = {}
    for partition, offset in [*offsets.items()][:MAX_FIRST_RECORDS]:
        reader = await log.reader({partition: offset})
        try:
            for record in await reader.read(1, FIRST_RECORD_TIMEOUT_S):
                earliest = oldest.get(partition.topic, record.timestamp)
                oldest[partition.topic] = min(earliest, record.timestamp)
        finally:
            await reader.close()
    return oldest


async def first_offsets(
    log: Log, group: str, partitions: Iterable[TopicPartition], start: AgentStart
) -> dict[TopicPartition, int]:
    """Where a group begins in those of the partitions where it has no offset. Empty for
    `beginning`, the default of logs, and for `now`: partitions that existed at the start got
    offsets from `commit_end_offsets`, and later ones are read from their beginning.
    """
    if not isinstance(start, datetime):
        return {}
    committed = await log.committed(group, partitions)
    new = [partition for partition, offset in committed.items() if offset is None]
    return dict(await log.offsets_at(new, int(start.timestamp() * 1000))) if new else {}


async def commit_end_offsets(log: Log, bridge: str, group: str, topics: Iterable[str]) -> None:
    """Commit the end offsets of those topics that exist and in which the group has no offset.

    Call it before any member reads: an offset that a member had not committed yet is lost with the
    member, and its successor would begin at a later end. Raises RetryLater, and Fenced or
    OutcomeUnknown if another member does the same at once: call it again then.
    """
    counts = {name: info.partitions for name, info in (await log.topics()).items()}
    names = sorted(counts.keys() & set(topics))
    if not (await _without_offsets(log, group, names, counts)):
        return
    # Opened before the offsets are read, which fences other members that could change them.
    producer = await log.producer(f"{bridge}.{group}.start")
    try:
        new = await _without_offsets(log, group, names, counts)
        if new:
            ends = await log.end_offsets(new)
            async with producer.transaction() as transaction:
                transaction.commit_offsets(group, ends)
    finally:
        await producer.close()


async def _without_offsets(
    log: Log, group: str, topics: Iterable[str], counts: Mapping[str, int]
) -> list[TopicPartition]:
    """All partitions of those topics for which the group has no offset in any partition."""
    places = [TopicPartition(name, number) for name in topics for number in range(counts[name])]
    committed = await log.committed(group, places)
    read = {partition.topic for partition in places if committed.get(partition) is not None}
    return [partition for partition in places if partition.topic not in read]


def start_text(agent: str, group: str, unread: UnreadTopic, start: AgentStart) -> str:
    """What a new agent does with existing events, and how to choose otherwise. Pure."""
    what = f"agent {agent!r} has no offsets in {unread.topic}: it is new, or they were deleted"
    if start == "beginning":
        return (
            f"{what}. It handles up to {unread.events:,} old events{unread.since}. To skip "
            f'them, write Agent({agent!r}, start="now"), or stop the agent and run '
            f"`bridgectl log offsets reset {group} --to end`"
        )
    if isinstance(start, datetime):
        at = start.astimezone(UTC)
        return (
            f"{what}. Of up to {unread.events:,} events it handles those from {at.isoformat()} on"
        )
    return f"{what}. It begins now and skips up to {unread.events:,} old events{unread.since}"
