"""The topics of a copy, and the preconditions of both logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from bridge.log.copying.state import CopyState
from bridge.log.port import GroupInfo, Log, TopicInfo, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.names import COPIED, POSITIONS, SCHEMA_IDS, SCHEMAS, internal_topic


@dataclass(frozen=True, slots=True)
class CopiedTopic:
    """A topic of the source: the offsets to copy and its groups' commits."""

    name: str
    partitions: int
    spans: Mapping[int, tuple[int, int]]
    commits: Mapping[str, Mapping[int, int]]

    def places(self) -> list[TopicPartition]:
        """Its partitions, which are the target's as well."""
        return [TopicPartition(self.name, number) for number in range(self.partitions)]


def commits_of(
    groups: Mapping[str, GroupInfo], topic: str, begins: Mapping[TopicPartition, int]
) -> dict[str, dict[int, int]]:
    """Where each group that reads a topic resumes, by partition."""
    first = {
        partition.partition: at for partition, at in begins.items() if partition.topic == topic
    }
    commits: dict[str, dict[int, int]] = {}
    for group in groups.values():
        for partition, offset in group.committed.items():
            if partition.topic == topic:
                mine = commits.setdefault(group.name, dict(first))
                mine[partition.partition] = max(offset, mine[partition.partition])
    return commits


def ordered(
    topics: Mapping[str, TopicInfo], bridge: str, leave_out: Iterable[str]
) -> dict[str, TopicInfo]:
    """This bridge's topics; the checkpoints last, because they imply that the rest was copied."""
    left = {internal_topic(bridge, name) for name in (SCHEMAS, SCHEMA_IDS, COPIED)} | {*leave_out}
    mine = (f"{bridge}.", f"_{bridge}.")
    last = internal_topic(bridge, POSITIONS)
    names = (name for name in topics if name.startswith(mine) and name not in left)
    ordered = sorted(names, key=lambda name: (name == last, name.startswith("_"), name))
    return {name: topics[name] for name in ordered}


def places_of(topics: Mapping[str, TopicInfo]) -> list[TopicPartition]:
    return [
        TopicPartition(name, number)
        for name, info in topics.items()
        for number in range(info.partitions)
    ]


def check_members(groups: Mapping[str, GroupInfo], topics: Mapping[str, TopicInfo]) -> None:
    busy = [
        group.name
        for group in groups.values()
        if group.members and any(partition.topic in topics for partition in group.committed)
    ]
    if busy:
        raise Rejected(
            "bridge_running",
            f"group {', '.join(sorted(busy))} still has live members: stop the bridge, then copy",
        )


async def check_untouched(
    target: Log, source: Log, topics: Mapping[str, TopicInfo], state: CopyState
) -> None:
    """Refuse a target that another program wrote to: continuing would mix two histories."""
    places = places_of(topics)
    begins = await target.beginning_offsets(places)
    for topic, info in topics.items():
        mine = places_of({topic: info})
        ends = state.ends(topic)
        if ends is None and any(state.next_offset(partition) is not None for partition in mine):
            continue  # An earlier run was interrupted: its end is unknown.
        since = {
            partition: (ends or {}).get(partition.partition, begins[partition])
            for partition in mine
        }
        if await _anything(target, since):
            raise ConfigurationError(
                f"{target.name}: topic {topic} holds records that were not copied from "
                f"{source.name}: copy into an empty log, or use another bridge name"
            )


async def _anything(log: Log, since: Mapping[TopicPartition, int]) -> bool:
    """Whether there is a record at or after these offsets."""
    async with aclosing(read_to_end(log, since, limit=1)) as batches:
        async for _ in batches:
            return True
    return False
