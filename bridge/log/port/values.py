"""What the log holds: records, topics and groups. Public as `bridge.log.port`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Headers = Sequence[tuple[str, bytes]]
Cleanup = Literal["delete", "compact"]


class Entry(NamedTuple):
    """A record to append. A plain tuple of the same five slots is accepted too (the hot path).

    key: None: the record has no key
    value: None: a tombstone, which deletes the key on compaction
    headers: in this order; names may repeat
    timestamp: None: now, by the log's clock
    partition: None: murmur2 of the key; partition 0 for a record without a key
    """

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None
    partition: int | None = None


class Record(NamedTuple):
    """A record as it was read.

    topic, partition, offset: where it is; an offset never changes
    timestamp: as appended
    key, value, headers: as appended, byte for byte
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic should look like; `bridge.log.topic_specs` has those of a bridge.

    name: the whole name, with the bridge's prefix
    cleanup: `delete` removes records by age, `compact` all but the last one of each key
    partitions: None: the log's configured number
    history_ms: of a compacted topic: younger records are all kept (`min.compaction.lag.ms` and
        `delete.retention.ms`); None: compacted at once
    retention_ms: of the others: older records are removed; None: never
    """

    name: str
    cleanup: Cleanup = "delete"
    partitions: int | None = None
    history_ms: int | None = None
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as it is.

    spec: its real cleanup and times; `spec.partitions` is set
    partitions: how many it has
    records: how many it holds; None where that isn't known without reading it
    """

    spec: TopicSpec
    partitions: int
    records: int | None = None


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group.

    members: the ids of its live members
    committed: the next offset to read, by partition; partitions without a commit are left out
    topics: what the live members subscribe to
    """

    name: str
    members: tuple[str, ...]
    committed: Mapping[TopicPartition, int]
    topics: frozenset[str] = frozenset()
