"""Compaction and retention: removes records that are old enough and no longer needed.

As Kafka's cleaner: a round learns the last offset of as many keys as fit in memory, from where
the previous one ended, and then rewrites everything before that without the records that have a
later one. Only what is older than the topic's history takes part, from the beginning of the
partition to its first batch that is younger. A tombstone is kept for the history (a day if the
topic has none) after that, so that a reader that began before it sees it. Work is done in slices,
so that writers never wait long for it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bridge.log.embedded.batch_codec import decode, encode
from bridge.log.embedded.schema import SHIFT
from bridge.log.embedded.store import EmbeddedStore
from bridge.log.embedded.topic_table import StoredTopic
from bridge.log.embedded.write import chunks
from bridge.log.port import Record, TopicSpec
from bridge.log.topic_specs import TOMBSTONE_RETENTION_MS

MAX_KEYS_PER_ROUND = 100_000
"""Keys are held in memory for a round: about 20 MB."""

_BATCHES_PER_SLICE = 32
_MIN_NEW_SHARE = 0.5
_MIN_NEW_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class _Round:
    """Last offsets of the keys from `start` to `upto`; tombstones before `start` and old enough are
    removed.
    """

    partition: int
    latest: dict[bytes, int]
    start: int
    upto: int
    tombstones_before: int

    def keeps(self, record: Record) -> bool:
        """Whether the record stays."""
        if record.key is None or record.offset >= self.upto:
            return True
        if record.offset < self.latest.get(record.key, 0):
            return False
        return (
            record.value is not None
            or record.offset >= self.start
            or record.timestamp >= self.tombstones_before
        )


async def compact(store: EmbeddedStore, topic: StoredTopic, *, force: bool) -> int:
    """Compact or shorten a topic as its specification says; returns the number of removed records.

    Without `force` only if at least half of its records are new.
    """
    gone = 0
    for partition in topic.partitions:
        if topic.spec.cleanup == "compact":
            while round_ := await _learn(store, partition, topic.spec, force=force):
                gone += await _rewrite(store, round_)
        elif topic.spec.retention_ms is not None:
            oldest = store.clock() - topic.spec.retention_ms
            gone += await store.writer.run(
                lambda c, each=partition, oldest=oldest: _shorten(c, each, oldest)  # type: ignore[misc]
            )
    return gone


async def _learn(
    store: EmbeddedStore, partition: int, spec: TopicSpec, *, force: bool
) -> _Round | None:
    """The next round of a partition; None if there is nothing (worthwhile) to do."""
    before = store.clock() - (spec.history_ms or 0)
    start, records, horizon, old = await store.reader.run(lambda c: _state(c, partition, before))
    if old == 0 or not (force or (old >= _MIN_NEW_RECORDS and old >= records * _MIN_NEW_SHARE)):
        return None
    latest: dict[bytes, int] = {}
    upto = start
    while upto < horizon and len(latest) < MAX_KEYS_PER_ROUND:
        upto = await store.reader.run(
            lambda c, at=upto: _last_offsets(c, partition, at, horizon, latest)  # type: ignore[misc]
        )
    stay = TOMBSTONE_RETENTION_MS if spec.history_ms is None else spec.history_ms
    return _Round(partition, latest, start, upto, before - stay)


def _state(
    connection: sqlite3.Connection, partition: int, before: int
) -> tuple[int, int, int, int]:
    """Where cleaning ended, how many records there are, and the result of `_old` from there on."""
    (cleaned, records) = connection.execute(
        "SELECT cleaned, records FROM partition WHERE id = ?", (partition,)
    ).fetchone()
    return (cleaned, records, *_old(connection, partition, cleaned, before))


def _last_offsets(
    connection: sqlite3.Connection, partition: int, at: int, end: int, latest: dict[bytes, int]
) -> int:
    """Record the keys' offsets of some batches from `at` on; returns where the next ones begin."""
    low = partition << SHIFT
    rows = connection.execute(
        "SELECT id, last, data FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (low | at, (low | end) - 1, _BATCHES_PER_SLICE),
    )
    reached = end
    for number, last, data in rows:
        for record in decode(data, "", 0, number - low):
            if record.key is not None:
                latest[record.key] = record.offset
        reached = last + 1
    return reached


def _old(
    connection: sqlite3.Connection, partition: int, start: int, before: int
) -> tuple[int, int]:
    """Where the first batch that isn't older than `before` begins, and the records up to there."""
    low = partition << SHIFT
    horizon, records = start, 0
    rows = connection.execute(
        "SELECT last, newest, records FROM batch WHERE id BETWEEN ? AND ? ORDER BY id",
        (low | start, (partition + 1 << SHIFT) - 1),
    )
    for last, newest, count in rows:
        if newest > before:
            break
        horizon, records = last + 1, records + count
    rows.close()
    return horizon, records


async def _rewrite(store: EmbeddedStore, round_: _Round) -> int:
    at, gone = 0, 0
    while at < round_.upto:
        at, less = await store.writer.run(lambda c, at=at: _slice(c, round_, at))  # type: ignore[misc]
        gone += less
    await store.writer.run(
        lambda c: (
            c.execute(
                "UPDATE partition SET cleaned = max(cleaned, ?) WHERE id = ?",
                (round_.upto, round_.partition),
            ).rowcount
        )
    )
    return gone


def _slice(connection: sqlite3.Connection, round_: _Round, at: int) -> tuple[int, int]:
    """Rewrite some batches; returns where the next ones begin and how many records were removed."""
    low = round_.partition << SHIFT
    rows = connection.execute(
        "SELECT id, last, data FROM batch WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (low | at, (low | round_.upto) - 1, _BATCHES_PER_SLICE),
    ).fetchall()
    if not rows:
        return round_.upto, 0
    records = [record for number, _, data in rows for record in decode(data, "", 0, number - low)]
    kept = [record for record in records if round_.keeps(record)]
    after = max(rows[-1][1] + 1, at + 1)
    gone = len(records) - len(kept)
    cut = [*chunks([len(record.value or b"") for record in kept])] if kept else []
    if gone == 0 and len(cut) * 2 > len(rows):
        return after, 0
    connection.executemany("DELETE FROM batch WHERE id = ?", ((row[0],) for row in rows))
    for start, end in cut:
        chunk = kept[start:end]
        base = chunk[0].offset
        offsets = [record.offset - base for record in chunk]
        gaps = offsets[-1] != len(offsets) - 1
        _, _, _, times, keys, values, headers = zip(*chunk, strict=True)
        connection.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
            (
                low | base,
                chunk[-1].offset,
                len(chunk),
                max(times),
                encode(keys, values, headers, times, offsets if gaps else None),
            ),
        )
    connection.execute(
        "UPDATE partition SET records = records - ? WHERE id = ?", (gone, round_.partition)
    )
    return after, gone


def _shorten(connection: sqlite3.Connection, partition: int, oldest: int) -> int:
    """Remove the older batches at the beginning; returns the number of removed records."""
    low = partition << SHIFT
    end, count = _old(connection, partition, 0, oldest - 1)
    if count:
        connection.execute("DELETE FROM batch WHERE id BETWEEN ? AND ?", (low, (low | end) - 1))
        connection.execute(
            "UPDATE partition SET records = records - ?, first = ? WHERE id = ?",
            (count, end, partition),
        )
    return count
