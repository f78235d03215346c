"""Queries on the file: batches after a position, offsets by time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.log.embedded.batch_codec import decode
from bridge.log.embedded.schema import SHIFT
from bridge.log.port import Gap, Record, TopicPartition

MAX_BYTES_PER_QUERY = 8 * 1024 * 1024
"""A query ends with the batch that exceeds this, however many records were requested."""

_BATCHES_FROM = """
SELECT id, last, data FROM batch
WHERE id >= coalesce((SELECT max(id) FROM batch WHERE id BETWEEN ?1 AND ?2), ?2) AND id <= ?3
ORDER BY id
"""


class BatchQuery(NamedTuple):
    """Records of one partition from an offset on."""

    partition: TopicPartition
    id: int
    offset: int


class FetchedRecords(NamedTuple):
    """Records of one partition from `offset` on; `next`: the offset after them. `begin`: the first
    existing offset, if `offset` is before it or past the end.
    """

    partition: TopicPartition
    offset: int
    records: list[Record]
    next: int
    begin: int | None = None


def fetch_records(
    connection: sqlite3.Connection,
    wanted: Sequence[BatchQuery],
    limit: int,
    *,
    back_to_begin: bool = False,
) -> list[FetchedRecords]:
    """Whole batches, partition by partition in the requested order, until `limit` is reached.

    `back_to_begin`: an offset past the end restarts at the beginning; otherwise it waits for the
    end.
    """
    bounds = {
        number: (first, end)
        for number, first, end in connection.execute(
            "SELECT id, first, next FROM partition WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps([each.id for each in wanted]),),
        ).fetchall()
    }
    fetched: list[FetchedRecords] = []
    count = size = 0
    for each in wanted:
        first, end = bounds[each.id]
        if back_to_begin and each.offset > end:
            fetched.append(FetchedRecords(each.partition, each.offset, [], first, first))
            continue
        if each.offset >= end:
            continue
        records: list[Record] = []
        reached = each.offset
        low = each.id << SHIFT
        rows = connection.execute(
            _BATCHES_FROM, (low, low | each.offset, (each.id + 1 << SHIFT) - 1)
        )
        for number, last, data in rows:
            if last < each.offset:
                continue
            batch = decode(data, each.partition.topic, each.partition.partition, number - low)
            records += (
                batch
                if number - low >= each.offset
                else [record for record in batch if record.offset >= each.offset]
            )
            reached = last + 1
            size += len(data)
            if count + len(records) >= limit or size >= MAX_BYTES_PER_QUERY:
                break
        else:
            # Compaction may have removed the last records.
            reached = max(reached, end)
        rows.close()
        count += len(records)
        begin = first if each.offset < first else None
        fetched.append(FetchedRecords(each.partition, each.offset, records, reached, begin))
        if count >= limit or size >= MAX_BYTES_PER_QUERY:
            break
    return fetched


def gaps_of(fetched: Iterable[FetchedRecords]) -> dict[TopicPartition, Gap]:
    """What was removed before it was fetched, by partition."""
    return {
        each.partition: Gap(each.offset, each.begin) for each in fetched if each.begin is not None
    }


def offset_at(connection: sqlite3.Connection, partition: int, timestamp: int) -> int | None:
    """The first offset with that time or a later one; None if there is none."""
    low = partition << SHIFT
    row = connection.execute(
        "SELECT id, data FROM batch WHERE id BETWEEN ? AND ? AND newest >= ? ORDER BY id LIMIT 1",
        (low, (partition + 1 << SHIFT) - 1, timestamp),
    ).fetchone()
    if row is None:
        return None
    records = decode(row[1], "", 0, row[0] - low)
    return next(record.offset for record in records if record.timestamp >= timestamp)


def committed_of(connection: sqlite3.Connection, group: str, ids: Iterable[int]) -> dict[int, int]:
    """The group's committed offsets, where it has any."""
    rows = connection.execute(
        "SELECT partition, next FROM committed WHERE consumer_group = ? "
        "AND partition IN (SELECT value FROM json_each(?))",
        (group, json.dumps([*ids])),
    )
    return dict(rows.fetchall())
