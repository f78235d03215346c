"""Which partitions a consumer group has to do with. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bridge.log.port import GroupInfo, TopicInfo, TopicPartition


def group_partitions(info: GroupInfo, topics: Mapping[str, TopicInfo]) -> set[TopicPartition]:
    """All partitions of the topics that a group reads or committed for."""
    names = info.topics.union(partition.topic for partition in info.committed)
    return {
        TopicPartition(name, number)
        for name in names
        if name in topics
        for number in range(topics[name].partitions)
    }


def partitions_to_reset(
    committed: Mapping[TopicPartition, int],
    declared: Collection[str],
    topics: Mapping[str, TopicInfo],
    wanted: Collection[str],
) -> list[TopicPartition]:
    """The partitions whose offsets a person may set by hand, in order.

    committed: what the group has committed
    declared: topics that the configuration lets it read, so that it may never have run
    topics: those of the log
    wanted: only these topics; empty: all
    """
    group = GroupInfo("", (), committed, frozenset(declared))
    return sorted(
        partition
        for partition in group_partitions(group, topics)
        if (not wanted or partition.topic in wanted)
        and (partition in committed or partition.topic in declared)
    )
