"""Which partitions a group has to do with."""

from __future__ import annotations

from bridge.log.group_partitions import group_partitions, partitions_to_reset
from bridge.log.port import GroupInfo, TopicInfo, TopicPartition, TopicSpec

TOPICS = {name: TopicInfo(TopicSpec(name), 2) for name in ("a", "b", "c")}
A0, A1, B0, B1 = (TopicPartition(topic, at) for topic in "ab" for at in range(2))


def test_a_group_reads_all_partitions_of_what_it_subscribes_to_or_committed_for() -> None:
    gone = TopicPartition("gone", 0)
    info = GroupInfo("g", ("m",), {A0: 5, gone: 1}, frozenset({"b"}))
    assert group_partitions(info, TOPICS) == {A0, A1, B0, B1}


def test_offsets_are_reset_where_the_group_has_some() -> None:
    assert partitions_to_reset({A1: 3, B0: 1}, (), TOPICS, ()) == [A1, B0]


def test_offsets_of_a_declared_group_are_set_before_it_has_run() -> None:
    assert partitions_to_reset({}, ["a"], TOPICS, ()) == [A0, A1]


def test_only_wanted_topics_are_reset() -> None:
    assert partitions_to_reset({A1: 3, B0: 1}, ["a"], TOPICS, ["b"]) == [B0]
