"""Appends: entries are grouped by partition, encoded, and written in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from bridge.log.embedded.batch_codec import encode
from bridge.log.embedded.schema import SHIFT
from bridge.log.embedded.topic_table import StoredTopic
from bridge.log.port import Entry, RecordTooLarge
from bridge.model.errors import ConfigurationError
from bridge.plan.execute import partition as partition_of

RECORDS_A_BATCH = 1000
BYTES_A_BATCH = 512 * 1024
"""A reader decodes whole batches, so these bound what it holds beyond what was requested."""

Packed = tuple[int, int, int, bytes]
"""Partition id, records, newest timestamp, bytes."""


class Gathered:
    """Records to be written to the log, by partition, in the order of their append."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[int, list[Entry]] = {}
        self._packed: list[Packed] = []

    def add(self, topic: StoredTopic, entries: Sequence[Entry], now: int) -> None:
        """Add all of `entries`, or none if it raises RecordTooLarge or ConfigurationError."""
        if not entries:
            return
        check_sizes(entries, self._limit, topic.spec.name)
        ids = topic.partitions
        count = len(ids)
        routed: list[list[Entry]] = [[] for _ in ids]
        for entry in entries:
            number = entry[4]
            if number is None:
                number = partition_of(entry[0], count)
            elif not 0 <= number < count:
                raise ConfigurationError(
                    f"topic {topic.spec.name} has {count} partitions, none with the number {number}"
                )
            routed[number].append(entry)
        for each, rows in zip(ids, routed, strict=True):
            if not rows:
                continue
            if any(entry[3] is None for entry in rows):
                rows = [(e[0], e[1], e[2], now if e[3] is None else e[3], 0) for e in rows]  # type: ignore[misc]  # noqa: PLW2901
            waiting = self._rows.setdefault(each, [])
            waiting += rows
            if len(waiting) >= RECORDS_A_BATCH:
                self._pack(each)

    def packed(self) -> list[Packed]:
        """Everything, encoded; a partition's batches in their order."""
        for each in [*self._rows]:
            self._pack(each)
        return self._packed

    def _pack(self, partition: int) -> None:
        rows = self._rows.pop(partition)
        for start, end in chunks([len(entry[1] or b"") for entry in rows]):
            chunk = rows[start:end]
            keys, values, headers, times, _ = zip(*chunk, strict=True)
            data = encode(keys, values, headers, times)
            self._packed.append((partition, end - start, max(times), data))


def check_sizes(entries: Sequence[Entry], limit: int, topic: str) -> None:
    """Raises RecordTooLarge for the first entry over `limit`.

    First an upper bound over all of them, which is cheaper than checking each one's headers.
    """
    bound = max([len(entry[0] or b"") + len(entry[1] or b"") for entry in entries])
    pairs = [*chain.from_iterable([entry[2] for entry in entries])]
    if pairs:
        longest = max(map(len, {name for name, _ in pairs}))
        largest = max([len(content) for _, content in pairs])
        bound += (longest + largest) * max([len(entry[2]) for entry in entries])
    if bound <= limit:
        return
    for key, value, headers, _, _ in entries:
        size = len(key or b"") + len(value or b"")
        size += sum(len(name) + len(content) for name, content in headers)
        if size > limit:
            raise RecordTooLarge(
                f"a record for {topic} has {size} bytes, more than the {limit} that this log "
                "accepts"
            )


def chunks(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where to cut records of these sizes into batches (start, end)."""
    start = size = 0
    for at, each in enumerate(sizes):
        if at > start and (at - start == RECORDS_A_BATCH or size + each > BYTES_A_BATCH):
            yield start, at
            start, size = at, 0
        size += each
    yield start, len(sizes)


def write(connection: sqlite3.Connection, packed: Iterable[Packed]) -> None:
    """Append batches at the ends of their partitions."""
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
