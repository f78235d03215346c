"""Deletes for keys that are in the log and no longer in the table.

The log's keys are read once, while the snapshot of the table and the stream go on; what either of
them shows is struck off; what is left at the end is gone from the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from bridge.capture.keyset import KeySet
from bridge.log.port import Log, TopicPartition
from bridge.model.errors import RetryLater

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
