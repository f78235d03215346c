"""Reading partitions from where one wants to what is their end now."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.model.errors import RetryLater

BATCH_RECORDS: Final = 1000
READ_WAIT_S: Final = 0.1
READ_TIMEOUT_S: Final = 30.0
"""Longer than that without a record although the log says there is one, and it is away."""


async def read_past_markers(
    reader: Consumer, partitions: Iterable[TopicPartition], limit: int, timeout: float
) -> list[Record]:
    """As `reader.read`, but returns as soon as a position has moved, too. On Kafka what is left
    may be marks of transactions, or records of one that was aborted: no read returns for those.
    """
    places = list(partitions)
    before = [reader.position(place) for place in places]
    deadline = monotonic() + timeout
    while True:
        left = deadline - monotonic()
        records = await reader.read(limit, max(0.0, min(left, READ_WAIT_S)))
        moved = before != [reader.position(place) for place in places]
        if records or moved or left <= READ_WAIT_S:
            return records


async def history(
    log: Log,
    offsets: Mapping[TopicPartition, int],
    advance: Callable[[int, int], Any] | None = None,
) -> AsyncGenerator[list[Record]]:
    """Batches of records from `offsets` up to what is the end now, each in order of time as far
    as the order of partitions allows. `advance` is told how many offsets are done, and of how
    many. Raises RetryLater when the log stops answering.
    """
    ends = await log.end_offsets(offsets)
    open_ = {place for place, offset in offsets.items() if offset < ends[place]}
    total = sum(ends[place] - offsets[place] for place in open_)
    if not open_:
        return
    reader = await log.reader({place: offsets[place] for place in open_})
    try:
        while open_:
            before = {place: reader.position(place) for place in open_}
            records = await read_past_markers(reader, before, BATCH_RECORDS, READ_TIMEOUT_S)
            for place in list(open_):
                if reader.position(place) >= ends[place]:
                    open_.discard(place)
                    reader.pause([place])
            if advance is not None:
                left = sum(ends[place] - reader.position(place) for place in open_)
                advance(total - left, total)
            if records:
                yield merge_by_time(
                    [r for r in records if r.offset < ends[TopicPartition(r[0], r[1])]]
                )
            elif open_ and all(reader.position(place) == before[place] for place in open_):
                stuck = ", ".join(f"{place.topic}-{place.partition}" for place in sorted(open_))
                raise RetryLater(f"{log.name}: no answer within {READ_TIMEOUT_S:.0f} s for {stuck}")
    finally:
        await reader.close()


def merge_by_time(records: list[Record]) -> list[Record]:
    """By timestamp over partitions, while each partition keeps its own order. Pure."""
    lanes: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        lanes.setdefault((record.topic, record.partition), []).append(record)
    if len(lanes) < 2:
        return records
    return list(heapq.merge(*lanes.values(), key=lambda record: record.timestamp))
