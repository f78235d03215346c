"""Which partitions a follower reads, and which records are whose. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from bridge.log.port import Record, TopicInfo, TopicPartition
from bridge.model.names import DEAD, POSITIONS, change_topic, internal_topic, system_topic


def topics_of_system(bridge: str, system: str, entities: Iterable[str]) -> frozenset[str]:
    """The topics that a follower of these entities needs: their changes, the dead letters and the
    checkpoints.

    entities: bare names
    """
    return frozenset(
        {
            *(change_topic(bridge, system, entity) for entity in entities),
            system_topic(bridge, DEAD),
            internal_topic(bridge, POSITIONS),
        }
    )


def partitions_to_follow(
    topics: Mapping[str, TopicInfo], wanted: Iterable[str]
) -> frozenset[TopicPartition]:
    """Every partition of those `wanted` topics that exist."""
    return frozenset(
        TopicPartition(name, number)
        for name in wanted
        if name in topics
        for number in range(topics[name].partitions)
    )


def disappeared(
    positions: Mapping[TopicPartition, int], partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The followed partitions that don't exist any more, with their positions."""
    return {each: position for each, position in positions.items() if each not in partitions}


def by_partition(records: Iterable[Record]) -> dict[TopicPartition, list[Record]]:
    """The records of each partition, in their order. Quick where they come in runs."""
    lanes: dict[TopicPartition, list[Record]] = {}
    topic, number = "", -1
    lane: list[Record] = []
    for record in records:
        if record[1] != number or record[0] != topic:
            topic, number = record[:2]
            lane = lanes.setdefault(TopicPartition(topic, number), [])
        lane.append(record)
    return lanes
