"""Deletes for keys that are in the log and no longer in the table.

The log's keys are read once, while the snapshot of the table and the stream go on; what either of
them shows is struck off; what is left at the end is gone from the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta

from bridge.capture.keyset import KeySet
from bridge.log.port import Entry, Log, TopicPartition
from bridge.model import headers
from bridge.model.avro import OPS
from bridge.model.canonical import instant_text
from bridge.model.errors import RetryLater
from bridge.model.position import format_position
from bridge.model.wire import header
from bridge.plan.encode import long_bytes
from bridge.plan.execute import partition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 5_000
PATIENCE = 30.0


async def scan(log: Log, topic: str, partitions: int, keys: KeySet) -> int:
    """Tell `keys` everything that the topic holds now; returns the number of records read."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    begin = await log.beginning_offsets(places)
    end = await log.end_offsets(places)
    start = {place: begin[place] for place in places if begin[place] < end[place]}
    if not start:
        return 0
    read = 0
    reader = await log.reader(start)
    try:
        while any(reader.position(place) < end[place] for place in start):
            before = [reader.position(place) for place in start]
            records = await reader.read(BATCH, PATIENCE)
            if not records and before == [reader.position(place) for place in start]:
                raise RetryLater(
                    f"{log.name}: {topic} could not be read to its end within {PATIENCE:.0f} s"
                )
            keys.scanned(
                (record.key, record.value is not None)
                for record in records
                if record.key is not None
                and record.offset < end[TopicPartition(topic, record.partition)]
            )
            read += len(records)
    finally:
        await reader.close()
    return read


def deletes(
    keys: Sequence[bytes],
    *,
    bridge: str,
    system: str,
    entity: str,
    value_schema: int,
    partitions: int,
    epoch: int,
    commit: int,
    first_number: int,
    captured_at: int,
) -> list[Entry]:
    """For each key (framed, as in the log) a delete without old row, and its tombstone."""
    made: list[Entry] = []
    kind = headers.event_type(bridge, system, entity, "delete").encode()
    # op delete, neither before nor after, nothing unavailable.
    head = header(value_schema) + long_bytes(OPS.index("delete")) + b"\0\0\0"
    tail = b"\0\0" + long_bytes(captured_at)
    at = instant_text(_EPOCH + timedelta(microseconds=captured_at)).encode()
    for number, key in enumerate(keys, first_number):
        position = format_position(epoch, commit, number)
        text = position.encode()
        heads = [
            (headers.SPECVERSION, headers.SPECVERSION_1_0),
            (headers.ID, headers.event_id(system, position).encode()),
            (headers.SOURCE, headers.event_source(bridge, system).encode()),
            (headers.TYPE, kind),
            (headers.TIME, at),
            (headers.CONTENT_TYPE, headers.AVRO),
        ]
        value = head + long_bytes(len(text)) + text + tail
        place = partition(key, partitions)
        made.append(Entry(key, value, heads, captured_at // 1000, place))
        made.append(Entry(key, None, heads, captured_at // 1000, place))
    return made


class Reconcile:
    """One reconcile: the scan of the log and the keys that it leaves. Used by one task.

    Made before the scan begins, so that nothing that the stream tells meanwhile is missed.
    """

    def __init__(self, job: str) -> None:
        self.job = job
        self.keys = KeySet()
        self._scan: asyncio.Task[int] | None = None

    def start(self, log: Log, topic: str, partitions: int, flushed: Awaitable[None]) -> None:
        """Scan once everything that was told before is in the log."""

        async def act() -> int:
            await flushed
            return await scan(log, topic, partitions, self.keys)

        self._scan = asyncio.create_task(act(), name=f"reconcile {topic}")

    def ready(self) -> bool:
        """Whether the log was scanned. Raises what scanning it raised."""
        if self._scan is None or not self._scan.done():
            return False
        self._scan.result()
        return True

    async def close(self) -> None:
        """Stop and forget the keys."""
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.gather(self._scan, return_exceptions=True)
        self.keys.close()
