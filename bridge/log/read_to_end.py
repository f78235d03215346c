"""Reading partitions to their end: the one loop that does it.

The end is fixed when reading begins. Offsets before it may hold no record any more, or never held
one: on Kafka markers of transactions and aborted records take offsets, too, and records may be
removed while they are read. Reading passes all of these without waiting for a record. If neither a
record arrives nor a position moves for READ_TIMEOUT_S before the end, the log counts as
unavailable: RetryLater.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any, Final

from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.model.errors import RetryLater

BATCH_RECORDS: Final = 1000
READ_WAIT_S: Final = 0.1
"""How long a read waits before positions are compared again."""
READ_TIMEOUT_S: Final = 30.0


async def read_to_end(
    log: Log,
    offsets: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int] | None = None,
    *,
    limit: int = BATCH_RECORDS,
    advance: Callable[[int, int], Any] | None = None,
) -> AsyncGenerator[list[Record]]:
    """Batches of the records from `offsets` on, each partition in its order, none of them empty.

    ends: where to stop, by partition; None: at the ends as of now
    limit: the most records of one batch
    advance: called after each batch with how many offsets are done, and of how many

    Nothing is read beyond an end. Raises RetryLater if the log stops answering. Close the
    generator (`contextlib.aclosing`) where it isn't read to its own end.
    """
    if ends is None:
        ends = await log.end_offsets(offsets)
    unread = {
        partition: offset for partition, offset in offsets.items() if offset < ends[partition]
    }
    if not unread:
        return
    total = sum(ends[partition] - offset for partition, offset in unread.items())
    reader = await log.reader(unread)
    try:
        async for batch in read_until(log, reader, {at: ends[at] for at in unread}, limit=limit):
            for partition in list(unread):
                if reader.position(partition) >= ends[partition]:
                    del unread[partition]
                    reader.pause([partition])
            if advance is not None:
                left = sum(ends[partition] - reader.position(partition) for partition in unread)
                advance(total - left, total)
            records = [r for r in batch if r.offset < ends[TopicPartition(r.topic, r.partition)]]
            if records:
                yield records
    finally:
        await reader.close()


async def read_by_time(
    log: Log,
    offsets: Mapping[TopicPartition, int],
    advance: Callable[[int, int], Any] | None = None,
) -> AsyncGenerator[list[Record]]:
    """As `read_to_end`, with each batch sorted by time as far as the partitions' order allows."""
    async with aclosing(read_to_end(log, offsets, advance=advance)) as batches:
        async for records in batches:
            yield merge_by_time(records)


async def read_until(
    log: Log,
    reader: Consumer,
    ends: Mapping[TopicPartition, int],
    *,
    limit: int | Callable[[], int] = BATCH_RECORDS,
    timeout_s: float | None = None,
    clock: Callable[[], float] = monotonic,
) -> AsyncGenerator[list[Record]]:
    """Batches of `reader`'s records until it is at or past each of `ends`.

    limit: the most records of one batch, asked for before each read
    timeout_s: without a record and without a move; None: READ_TIMEOUT_S
    clock: seconds

    For a reader that is kept: what was appended since `ends` were asked for may be in the last
    batch, and a batch is empty where only positions have moved. Raises RetryLater.
    """
    timeout_s = READ_TIMEOUT_S if timeout_s is None else timeout_s
    while unread := [
        partition for partition, end in ends.items() if reader.position(partition) < end
    ]:
        before = {partition: reader.position(partition) for partition in ends}
        most = limit if isinstance(limit, int) else limit()
        records = await read_past_markers(reader, ends, most, timeout_s, clock)
        if not records and all(
            reader.position(partition) == at for partition, at in before.items()
        ):
            stuck = ", ".join(
                f"{partition.topic}-{partition.partition} at offset {before[partition]} of {ends[partition]}"
                for partition in sorted(unread)
            )
            raise RetryLater(
                f"{log.name} could not be read to its end within {timeout_s:.0f} s: {stuck}"
            )
        yield records


async def read_past_markers(
    reader: Consumer,
    partitions: Iterable[TopicPartition],
    limit: int,
    timeout: float,
    clock: Callable[[], float] = monotonic,
) -> list[Record]:
    """As `reader.read`, but returns as soon as a position has moved, too."""
    places = list(partitions)
    before = [reader.position(partition) for partition in places]
    deadline = clock() + timeout
    while True:
        left = deadline - clock()
        records = await reader.read(limit, max(0.0, min(left, READ_WAIT_S)))
        moved = before != [reader.position(partition) for partition in places]
        if records or moved or left <= READ_WAIT_S:
            return records


def merge_by_time(records: list[Record]) -> list[Record]:
    """Merge records by timestamp across partitions; each partition keeps its own order. Pure."""
    lanes: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        lanes.setdefault((record.topic, record.partition), []).append(record)
    if len(lanes) < 2:
        return records
    return list(heapq.merge(*lanes.values(), key=lambda record: record.timestamp))
