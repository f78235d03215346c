"""The lag of consumer groups: how far they are from the end of what they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from bridge.log.port import Log, TopicPartition
from bridge.log.read_to_end import read_to_end

COUNTED_OFFSETS: Final = 100
"""A lag of at most this many offsets of a partition is counted record by record."""

Committed = Mapping[TopicPartition, int | None]
"""The next offset of each partition that a group reads; None: it has committed none."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One group in one partition.

    committed: the next offset that it reads, as committed; None: it has committed none
    start: where it resumes
    end: the end of the partition
    records: how many are still to be read; counted in offsets, an upper bound, if there are many
    missing: how many were removed before the group had read them
    """

    group: str
    partition: TopicPartition
    committed: int | None
    start: int
    end: int
    records: int
    missing: int


CountCache = dict[tuple[TopicPartition, int, int], int]
"""(partition, start, stop) -> number of records in between."""


async def partition_lags(
    log: Log,
    committed: Mapping[str, Committed],
    counted_offsets: int = COUNTED_OFFSETS,
    counts: CountCache | None = None,
) -> list[PartitionLag]:
    """By group and partition, in order. Raises RetryLater while the log is unavailable: an unknown
    lag is never reported as 0.

    `counts`: the counts of an earlier call, updated to those of this one, so that idle partitions
    cost nothing.
    """
    places = sorted({partition for offsets in committed.values() for partition in offsets})
    ends = await log.end_offsets(places)
    first = await log.beginning_offsets(places)
    lags = [
        _lag(group, partition, offsets[partition], first[partition], ends[partition])
        for group, offsets in sorted(committed.items())
        for partition in sorted(offsets)
    ]
    counted = {} if counts is None else dict(counts)
    near = {
        (lag.partition, lag.start, lag.end): lag
        for lag in lags
        if 0 < lag.records <= counted_offsets
    }
    missing = near.keys() - counted.keys()
    if missing:
        counted |= await _counted(log, missing)
    if counts is not None:
        counts.clear()
        counts.update({span: counted[span] for span in near})
    passed = await _committed_since(log, [lag for lag in lags if lag.missing])
    return [
        PartitionLag(
            lag.group,
            lag.partition,
            lag.committed,
            lag.start,
            lag.end,
            counted.get((lag.partition, lag.start, lag.end), lag.records)
            if lag.records <= counted_offsets
            else lag.records,
            max(0, lag.missing - passed.get((lag.group, lag.partition), 0)),
        )
        for lag in lags
    ]


async def _committed_since(
    log: Log, lags: Iterable[PartitionLag]
) -> dict[tuple[str, TopicPartition], int]:
    """Newer commits of groups since their offsets were read: records removed before these were
    read, so they aren't missing.
    """
    passed: dict[tuple[str, TopicPartition], int] = {}
    for lag in lags:
        now = (await log.committed(lag.group, [lag.partition]))[lag.partition]
        if now is not None and lag.committed is not None:
            passed[lag.group, lag.partition] = max(0, now - lag.committed)
    return passed


def _lag(
    group: str, partition: TopicPartition, committed: int | None, first: int, end: int
) -> PartitionLag:
    """In offsets. Pure."""
    # Without a commit a group begins at the first existing record; so it does if the topic was
    # recreated and ends before the offset up to which the old one was read.
    start = first if committed is None or committed > end else max(committed, first)
    missing = 0 if committed is None else max(0, first - committed)
    return PartitionLag(group, partition, committed, start, end, max(0, end - start), missing)


async def _counted(log: Log, spans: Iterable[tuple[TopicPartition, int, int]]) -> CountCache:
    """The number of records. On Kafka transaction markers take offsets too, and the one after the
    last record would leave a lag for ever to a group that has handled everything.
    """
    counts = dict.fromkeys(spans, 0)
    begin: dict[TopicPartition, int] = {}
    for partition, start, _ in counts:
        begin[partition] = min(start, begin.get(partition, start))
    async with aclosing(read_to_end(log, begin)) as batches:
        async for records in batches:
            for record in records:
                partition = TopicPartition(record.topic, record.partition)
                for span in counts:
                    if span[0] == partition and span[1] <= record.offset < span[2]:
                        counts[span] += 1
    return counts
