"""Appending: entries are gathered by partition, encoded, and written in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from bridge.log.embedded.batch import Row, encode
from bridge.log.embedded.catalogue import Topic
from bridge.log.embedded.schema import SHIFT
from bridge.log.port import Entry, RecordTooLarge
from bridge.model.errors import ConfigurationError, Fenced
from bridge.plan.murmur2 import partition as partition_of

RECORDS_A_BATCH = 1000
BYTES_A_BATCH = 512 * 1024
"""A reader decodes whole batches, so that these bound what it holds beyond what was asked for."""

Packed = tuple[int, int, int, bytes]
"""Partition id, records, newest timestamp, bytes."""


class Gathered:
    """Records on their way into the log, by partition, in the order of their append."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[int, list[Row]] = {}
        self._sizes: dict[int, int] = {}
        self._packed: list[Packed] = []

    def add(self, topic: Topic, entries: Sequence[Entry], now: int) -> None:
        """All of `entries`, or none when it raises RecordTooLarge or ConfigurationError."""
        ids = topic.partitions
        count = len(ids)
        routed: list[tuple[int, int, Row]] = []
        for key, value, headers, timestamp, partition in entries:
            size = (0 if key is None else len(key)) + (0 if value is None else len(value))
            for name, content in headers:
                size += len(name) + len(content)
            if size > self._limit:
                raise RecordTooLarge(
                    f"a record for {topic.spec.name} has {size} bytes, more than the "
                    f"{self._limit} that this log takes"
                )
            number = partition_of(key, count) if partition is None else partition
            if not 0 <= number < count:
                raise ConfigurationError(
                    f"topic {topic.spec.name} has {count} partitions, none with the number {number}"
                )
            routed.append(
                (ids[number], size, (key, value, headers, now if timestamp is None else timestamp))
            )
        for each, size, row in routed:
            rows = self._rows.get(each)
            if rows is None:
                rows = self._rows[each] = []
                self._sizes[each] = 0
            rows.append(row)
            self._sizes[each] += size
            if len(rows) == RECORDS_A_BATCH or self._sizes[each] >= BYTES_A_BATCH:
                self._pack(each)

    def packed(self) -> list[Packed]:
        """Everything, encoded; a partition's batches in their order."""
        for each in [*self._rows]:
            self._pack(each)
        return self._packed

    def _pack(self, partition: int) -> None:
        rows = self._rows.pop(partition)
        self._packed.append((partition, len(rows), max(row[3] for row in rows), encode(rows)))


def write(connection: sqlite3.Connection, packed: Iterable[Packed]) -> None:
    """Append batches behind the ends of their partitions."""
    for partition, records, newest, data in packed:
        (end,) = connection.execute(
            "UPDATE partition SET next = next + ?1, records = records + ?1 WHERE id = ?2 "
            "RETURNING next",
            (records, partition),
        ).fetchone()
        connection.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
            (partition << SHIFT | (end - records), end - 1, records, newest, data),
        )


def commit_offsets(connection: sqlite3.Connection, offsets: Mapping[tuple[str, int], int]) -> None:
    """Set the next offsets of (group, partition id)."""
    connection.executemany(
        "INSERT INTO committed VALUES (?, ?, ?) "
        "ON CONFLICT (consumer_group, partition) DO UPDATE SET next = excluded.next",
        ((group, partition, at) for (group, partition), at in offsets.items()),
    )


def take_over(connection: sqlite3.Connection, producer: str) -> int:
    """Raise the epoch of a transactional id; whoever has an older one is fenced."""
    (epoch,) = connection.execute(
        "INSERT INTO producer VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        (producer,),
    ).fetchone()
    return int(epoch)


def check_epoch(connection: sqlite3.Connection, producer: str, epoch: int) -> None:
    """Raises Fenced when another producer has taken over."""
    (current,) = connection.execute(
        "SELECT epoch FROM producer WHERE name = ?", (producer,)
    ).fetchone()
    if current != epoch:
        raise Fenced(
            f"another producer has taken over the transactional id {producer}: nothing of this "
            "transaction was written; end here"
        )
