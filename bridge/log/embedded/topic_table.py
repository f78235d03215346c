"""Topics and their partitions: rows of the file, cached because they never change."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.log.port import TopicInfo, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """A topic and the ids of its partitions, in order."""

    spec: TopicSpec
    partitions: tuple[int, ...]


TopicTable = Mapping[str, StoredTopic]


def create(
    connection: sqlite3.Connection, specs: Iterable[TopicSpec], partitions: int
) -> dict[str, StoredTopic]:
    """Create missing topics, with `partitions` unless a spec has a number; returns the whole
    catalogue.

    Raises ConfigurationError if a topic has a different number of partitions than its spec.
    """
    for spec in specs:
        row = connection.execute(
            "SELECT partitions FROM topic WHERE name = ?", (spec.name,)
        ).fetchone()
        if row is None:
            _insert(connection, spec, spec.partitions or partitions)
        elif spec.partitions not in {None, row[0]}:
            raise ConfigurationError(
                f"topic {spec.name} has {row[0]} partitions, not {spec.partitions}: their number "
                "can't change, because keys would move; configure the one it has, or copy the log "
                "into a new one"
            )
    return load(connection)


def _insert(connection: sqlite3.Connection, spec: TopicSpec, partitions: int) -> None:
    if partitions < 1:
        raise ConfigurationError(f"topic {spec.name} needs at least one partition")
    connection.execute(
        "INSERT INTO topic VALUES (?, ?, ?, ?, ?)",
        (spec.name, spec.cleanup, partitions, spec.history_ms, spec.retention_ms),
    )
    connection.executemany(
        "INSERT INTO partition (topic, number) VALUES (?, ?)",
        ((spec.name, number) for number in range(partitions)),
    )


def load(connection: sqlite3.Connection) -> dict[str, StoredTopic]:
    """Every topic."""
    # Topics before their partitions: one that another process creates in between is omitted. A
    # listed topic has all of its partitions.
    rows = connection.execute(
        "SELECT name, cleanup, partitions, history_ms, retention_ms FROM topic"
    ).fetchall()
    partition_ids: dict[str, list[int]] = {}
    for each, name in connection.execute("SELECT id, topic FROM partition ORDER BY topic, number"):
        partition_ids.setdefault(name, []).append(each)
    return {row[0]: StoredTopic(TopicSpec(*row), tuple(partition_ids[row[0]])) for row in rows}


def described(connection: sqlite3.Connection) -> dict[str, TopicInfo]:
    """Every topic as the port describes it."""
    catalogue = load(connection)
    counts = dict(
        connection.execute("SELECT topic, sum(records) FROM partition GROUP BY topic").fetchall()
    )
    return {
        name: TopicInfo(topic.spec, len(topic.partitions), counts[name])
        for name, topic in catalogue.items()
    }


def partition_id(catalogue: TopicTable, partition: TopicPartition) -> int:
    """The id of a partition. Raises ConfigurationError if it doesn't exist."""
    topic = catalogue.get(partition.topic)
    if topic is None:
        raise unknown(partition.topic)
    if not 0 <= partition.partition < len(topic.partitions):
        raise ConfigurationError(
            f"topic {partition.topic} has {len(topic.partitions)} partitions, none with the number "
            f"{partition.partition}"
        )
    return topic.partitions[partition.partition]


def unknown(topic: str) -> ConfigurationError:
    """The error for a topic that doesn't exist."""
    return ConfigurationError(f"the log has no topic {topic}: create it first")


def offsets_of(connection: sqlite3.Connection, which: str, ids: Iterable[int]) -> dict[int, int]:
    """`first` or `next` of the partitions with these ids."""
    statement = {
        "first": "SELECT id, first FROM partition WHERE id IN (SELECT value FROM json_each(?))",
        "next": "SELECT id, next FROM partition WHERE id IN (SELECT value FROM json_each(?))",
    }[which]
    return dict(connection.execute(statement, (json.dumps([*ids]),)).fetchall())
