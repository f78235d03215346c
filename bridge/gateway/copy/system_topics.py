"""The topics of one system that its copy follows, and where it begins to read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from bridge.log.port import Log, TopicInfo, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.names import DEAD, POSITIONS, STATUS, change_topic, internal_topic, system_topic

TAIL_S: Final = 60.0
"""How much of the change topics and dead letters, before their end, is read at the start. Nothing is held
yet that these changes could affect; they fence answers of reads that don't show them yet, such as those
of a standby that lags, or of a server that waits for one.
"""
TAIL_RECORDS: Final = 2_000
"""Per partition; of a busier one less than `TAIL_S` is read."""
FIRST_SEARCH_RECORDS: Final = 2_000
SEARCH_GROWTH: Final = 16


@dataclass(frozen=True, slots=True)
class CopyTopics:
    """The names of the topics.

    changes: topic -> bare entity name.
    dead, positions, status: the other ones.
    """

    changes: Mapping[str, str]
    dead: str
    positions: str
    status: str

    @classmethod
    def of(cls, bridge: str, system: str, entities: Iterable[str]) -> CopyTopics:
        """Those of these entities (bare names)."""
        return cls(
            {change_topic(bridge, system, entity): entity for entity in entities},
            system_topic(bridge, DEAD),
            internal_topic(bridge, POSITIONS),
            internal_topic(bridge, STATUS),
        )

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset({*self.changes, self.dead, self.positions, self.status})

    def of_entities(
        self, partitions: Collection[TopicPartition]
    ) -> dict[str, frozenset[TopicPartition]]:
        """The partitions of each entity's changes; without the entities that have none yet."""
        by_entity: dict[str, set[TopicPartition]] = {}
        for each in partitions:
            entity = self.changes.get(each.topic)
            if entity is not None:
                by_entity.setdefault(entity, set()).add(each)
        return {entity: frozenset(own) for entity, own in by_entity.items()}

    def are_complete(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether everything exists without which nothing could be claimed, and one entity's changes."""
        topics = {each.topic for each in partitions}
        needed = {self.dead, self.positions, self.status}
        return topics.issuperset(needed) and not topics.isdisjoint(self.changes)

    def common(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Those that every entity's claim needs: what failed, and what can't be captured now."""
        return frozenset(each for each in partitions if each.topic in {self.dead, self.status})


def all_partitions(topics: Mapping[str, TopicInfo], names: Iterable[str]) -> set[TopicPartition]:
    """Every partition of those of the topics that exist."""
    return {
        TopicPartition(name, number)
        for name in names
        if name in topics
        for number in range(topics[name].partitions)
    }


async def starting_offsets(
    log: Log, topics: CopyTopics, system: str, partitions: Collection[TopicPartition], now_ms: int
) -> dict[TopicPartition, int]:
    """Where to begin: near the end of the change topics and of the dead letters, because what changed or
    failed earlier is in every row that is read from now on; at the last record of the system in the
    others. Bounded, whatever the topics hold, except that for a system without any record the
    positions are searched from their beginning.
    """
    recent = [
        each for each in partitions if each.topic in topics.changes or each.topic == topics.dead
    ]
    ends = await log.end_offsets(recent)
    since = await log.offsets_at(recent, now_ms - int(TAIL_S * 1000))
    starts = {each: min(end, max(since[each], end - TAIL_RECORDS)) for each, end in ends.items()}
    for each in partitions:
        if each.topic in {topics.positions, topics.status}:
            starts[each] = await last_offset(log, each, system.encode())
    return starts


async def last_offset(log: Log, partition: TopicPartition, key: bytes) -> int:
    """The offset of the last record with that key; without any, the end."""
    begin = (await log.beginning_offsets([partition]))[partition]
    end = (await log.end_offsets([partition]))[partition]
    start, size = end, FIRST_SEARCH_RECORDS
    while start > begin:
        upto, start = start, max(begin, end - size)
        size *= SEARCH_GROWTH
        last = -1
        async with aclosing(read_to_end(log, {partition: start}, {partition: upto})) as batches:
            async for records in batches:
                last = max([last, *(record.offset for record in records if record.key == key)])
        if last >= 0:
            return last
    return end
