"""`bridgectl log copy`: copies everything that one log holds of a bridge to another log.

Records keep their order per key, timestamps and headers, tombstones are tombstones; schema ids in
keys and values become the target registry's, and a key's partition follows its new bytes. Consumer
groups resume where they were. It is transactional and resumable: a copy that was killed resumes
after its last transaction, and a further run copies what was added since.

Stop the bridge first: records written meanwhile wouldn't be copied as of one point in time.
`Copied.left` shows whether anything was written during the run; then stop the bridge and copy
again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from bridge.log.copying.dead_letters import dead_letter
from bridge.log.copying.ranges import Range, is_behind, next_limit, ranges
from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.copying.state import CopyState
from bridge.log.copying.topics import (
    CopiedTopic,
    check_members,
    check_untouched,
    commits_of,
    ordered,
    places_of,
)
from bridge.log.port import Entry, GroupInfo, Log, Producer, Record, TopicInfo, TopicPartition
from bridge.log.read_to_end import read_until
from bridge.log.registry_port import Registry
from bridge.model.names import DEAD, system_topic
from bridge.plan.execute import partition as partition_of

FIRST_READ_RECORDS = 500
"""The first read's size; later ones adapt to the size of the records."""


@dataclass(frozen=True, slots=True)
class Copying:
    """Progress of a run in one topic. `total` is an upper bound."""

    topic: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a run. `left`: records that were written to the source meanwhile."""

    topics: int
    records: int
    groups: int
    left: int


#: Converts a record of a topic that needs more than new schema ids; None: it isn't copied.
Translate = Callable[[Record, SchemaIds], Awaitable[Entry | None]]


async def copy_log(  # noqa: PLR0917 - two logs, each with its registry
    source: Log,
    source_registry: Registry,
    target: Log,
    target_registry: Registry,
    bridge: str,
    progress: Callable[[Copying], None] = lambda _: None,
    *,
    translate: Mapping[str, Translate] | None = None,
    leave_out: Iterable[str] = (),
) -> Copied:
    """Copy all topics of `bridge`; logs and registries are open, and stay open.

    `translate`: by topic; topics in `leave_out` are not copied, nor are the embedded registry's.
    Raises Rejected while a consumer group of the source has live members, ConfigurationError if the
    target holds records that no copy of this source wrote, Fenced if another copy runs.
    """
    producer = await target.producer(f"{bridge}.log-copy")
    try:
        copy = _Copy(
            source, target, bridge, producer, SchemaIds(source_registry, target_registry, bridge)
        )
        dead = system_topic(bridge, DEAD)
        return await copy.run(progress, {dead: dead_letter, **(translate or {})}, leave_out)
    finally:
        await producer.close()


class _Copy:
    """One run."""

    def __init__(
        self, source: Log, target: Log, bridge: str, producer: Producer, ids: SchemaIds
    ) -> None:
        self._source = source
        self._target = target
        self._bridge = bridge
        self._producer = producer
        self._ids = ids
        self._records = 0

    async def run(
        self,
        progress: Callable[[Copying], None],
        translate: Mapping[str, Translate],
        leave_out: Iterable[str],
    ) -> Copied:
        state = await CopyState.load(self._target, self._bridge, self._source.name)
        topics = ordered(await self._source.topics(), self._bridge, leave_out)
        groups = await self._source.groups()
        check_members(groups, topics)
        await self._target.create_topics(
            replace(info.spec, partitions=info.partitions) for info in topics.values()
        )
        await check_untouched(self._target, self._source, topics, state)
        ends = await self._source.end_offsets(places_of(topics))
        begins = await self._source.beginning_offsets(places_of(topics))
        await state.begin(self._target, self._source.name)
        total = sum(
            ends[partition] - (state.next_offset(partition) or begins[partition])
            for partition in ends
        )
        for topic, info in topics.items():
            spans = {
                partition.partition: (
                    max(state.next_offset(partition) or 0, begins[partition]),
                    ends[partition],
                )
                for partition in places_of({topic: info})
            }
            commits = commits_of(groups, topic, begins)
            await self._topic(
                CopiedTopic(topic, info.partitions, spans, commits),
                state,
                translate.get(topic),
                lambda name: progress(Copying(name, self._records, total)),
            )
        placed = await self._groups(groups, topics, state)
        await state.done(self._target, await self._target.end_offsets(places_of(topics)))
        now = await self._source.end_offsets(places_of(topics))
        left = sum(now[partition] - ends[partition] for partition in now)
        return Copied(len(topics), self._records, placed, left)

    async def _topic(
        self,
        topic: CopiedTopic,
        state: CopyState,
        translate: Translate | None,
        tell: Callable[[str], None],
    ) -> None:
        same = await self._ids.carry(topic.name)
        stays = topic.partitions == 1 or (
            same and (self._ids.unchanged or not topic.name.startswith("_"))
        )
        positions = await self._settled_positions(topic, state)
        for part in ranges(topic.spans, topic.commits):
            places = await self._new_places(topic, part, positions, stays)
            async with aclosing(self._read(topic.name, part)) as batches:
                async for records, upto in batches:
                    entries = await self._all_moved(records, topic, translate)
                    async with self._producer.transaction() as transaction:
                        if entries:
                            await transaction.append(topic.name, entries)
                        for group, offsets in places.items():
                            await state.place_group(transaction, group, topic.name, offsets)
                        partition = TopicPartition(topic.name, part.partition)
                        await state.copied(transaction, partition, upto)
                    places = {}
                    self._records += len(records)
                    tell(topic.name)

    async def _settled_positions(
        self, topic: CopiedTopic, state: CopyState
    ) -> dict[str, dict[int, int]]:
        """Where each group resumes in the target, as far as earlier runs have determined it."""
        positions: dict[str, dict[int, int]] = {}
        async with self._producer.transaction() as transaction:
            for group, committed in topic.commits.items():
                positions[group] = state.group_offsets(group, topic.name)
                if not is_behind(topic.spans, committed):
                    # It has handled everything copied before: this run decides.
                    positions[group] = {}
                    await state.forget_group(transaction, group, topic.name)
                elif not positions[group] and any(
                    state.next_offset(TopicPartition(topic.name, number)) is not None
                    for number in topic.spans
                ):
                    # New, or reset to an earlier offset, since the last run: it gets everything
                    # again.
                    begins = await self._target.beginning_offsets(topic.places())
                    positions[group] = {partition.partition: at for partition, at in begins.items()}
                    await state.place_group(transaction, group, topic.name, positions[group])
        return positions

    async def _new_places(
        self, topic: CopiedTopic, part: Range, positions: dict[str, dict[int, int]], stays: bool
    ) -> dict[str, dict[int, int]]:
        """Where groups that have not handled this range resume, unless already determined."""
        numbers = [part.partition] if stays else list(range(topic.partitions))
        wanted = {
            group: missing
            for group in part.waiting
            if (missing := [number for number in numbers if number not in positions[group]])
        }
        if not wanted:
            return {}
        ends = await self._target.end_offsets(topic.places())
        places = {
            group: {number: ends[TopicPartition(topic.name, number)] for number in missing}
            for group, missing in wanted.items()
        }
        for group, offsets in places.items():
            positions[group].update(offsets)
        return places

    async def _read(
        self, topic: str, part: Range
    ) -> AsyncGenerator[tuple[list[Record], int], None]:
        """The records of a range in batches, each with its end offset."""
        partition = TopicPartition(topic, part.partition)
        reader = await self._source.reader({partition: part.start})
        limit = FIRST_READ_RECORDS
        ends = {partition: part.stop}
        try:
            batches = read_until(self._source, reader, ends, limit=lambda: limit)
            async for batch in batches:
                records = [record for record in batch if record.offset < part.stop]
                size = sum(len(r.key or b"") + len(r.value or b"") for r in records)
                limit = next_limit(size, len(records), limit)
                yield records, min(reader.position(partition), part.stop)
        finally:
            await reader.close()

    async def _all_moved(
        self, records: Iterable[Record], topic: CopiedTopic, translate: Translate | None
    ) -> list[Entry]:
        moved = [await self._moved(record, topic, translate) for record in records]
        return [entry for entry in moved if entry is not None]

    async def _moved(
        self, record: Record, topic: CopiedTopic, translate: Translate | None
    ) -> Entry | None:
        """The record with the target's schema ids, in its key's partition there."""
        if translate is not None:
            entry = await translate(record, self._ids)
            if entry is None:
                return None
        else:
            entry = Entry(
                await self._ids.frame(record.key, topic.name, "key"),
                await self._ids.frame(record.value, topic.name, "value"),
            )
        stays = (
            entry.key == record.key
            or partition_of(record.key, topic.partitions) != record.partition
        )
        return Entry(
            entry.key,
            entry.value,
            list(record.headers),
            record.timestamp,
            record.partition if stays else None,
        )

    async def _groups(
        self,
        groups: Mapping[str, GroupInfo],
        topics: Mapping[str, TopicInfo],
        state: CopyState,
    ) -> int:
        """Commit the groups' offsets in the target."""
        placed = 0
        for name, group in groups.items():
            offsets: dict[TopicPartition, int] = {}
            for topic in {partition.topic for partition in group.committed} & topics.keys():
                ends = await self._target.end_offsets(places_of({topic: topics[topic]}))
                positions = state.group_offsets(name, topic)
                offsets |= {
                    partition: positions.get(partition.partition, end)
                    for partition, end in ends.items()
                }
            if offsets:
                await self._target.reset_offsets(name, offsets)
                placed += 1
        return placed
