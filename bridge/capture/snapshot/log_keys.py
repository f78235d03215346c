"""Deletes for keys that are in the log and no longer in the table.

The log's keys are read once, while the snapshot of the table and the stream continue; keys that
either of them shows are removed; what is left at the end is gone from the table. After a restart
they are read again, and the keys removed before are recognised by their positions: since the
reconcile began only the stream and the reconcile itself have written to the topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import replace

from bridge.capture.checkpoint.record import SnapshotJob
from bridge.capture.snapshot.key_set import KeySet
from bridge.closing import close_all, close_in_thread
from bridge.log.port import Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model import headers

RECORDS_PER_READ = 5_000
#: Maximum keys kept in the checkpoint record.
MAX_SPARED_KEYS = 1_000


async def scan(log: Log, topic: str, partitions: int, keys: KeySet, since: str) -> int:
    """Add everything that the topic holds now to `keys`, and mark records after the position
    `since` as seen; returns the number of records read.
    """
    topic_partitions = [TopicPartition(topic, number) for number in range(partitions)]
    begin = await log.beginning_offsets(topic_partitions)
    read = 0
    async with aclosing(read_to_end(log, begin, limit=RECORDS_PER_READ)) as batches:
        async for records in batches:
            written = keys.scanned(
                (record.key, record.value is not None)
                for record in records
                if record.key is not None
            )
            keys.touched(
                record.key
                for record in records
                if record.key is not None and position_of(record) > since
            )
            # Not cancelled with the waiting task: the write is already queued.
            await asyncio.shield(asyncio.wrap_future(written))
            read += len(records)
    return read


def position_of(record: Record) -> str:
    """The position in an event's id; empty if there is none, as in a tombstone. Another program may
    have written the record, so its id may not be text.
    """
    for name, value in record.headers:
        if name == headers.ID:
            return value.decode(errors="replace").rpartition(":")[2]
    return ""


class LogKeys:
    """The log scan of one reconcile and the keys that remain. Used by one task.

    Create it before the scan begins, so that nothing streamed meanwhile is missed. `job`: the job
    as it starts; one that made progress already has `since`.
    """

    def __init__(self, job: SnapshotJob) -> None:
        self.job = job.id
        self.keys = KeySet()
        self.keys.touched(job.spared)
        self._since = job.since
        self._spared = job.spared
        self._scan: asyncio.Task[int] | None = None

    def start(self, log: Log, topic: str, partitions: int, flushed: Awaitable[None]) -> None:
        """Start the scan once everything emitted before is in the log."""
        since = self._since

        async def act() -> int:
            await flushed
            return await scan(log, topic, partitions, self.keys, since)

        self._scan = asyncio.create_task(act(), name=f"reconcile {topic}")

    def spare(self, keys: Sequence[bytes]) -> None:
        """These keys were seen, and no record will show that."""
        self.keys.touched(keys)
        if self._since:
            self._spared = self._spared.union(keys)
        if len(self._spared) > MAX_SPARED_KEYS:
            # Too many to remember: it starts over after a restart.
            self._since, self._spared = "", frozenset()

    def stamped(self, job: SnapshotJob) -> SnapshotJob:
        """The job with what it needs after a restart."""
        return replace(job, since=self._since, spared=self._spared)

    def ready(self) -> bool:
        """Whether the log was scanned. Raises what scanning it raised."""
        if self._scan is None or not self._scan.done():
            return False
        self._scan.result()
        return True

    async def close(self) -> None:
        """Stop the scan and forget the keys."""
        await close_all(self._end_scan, lambda: close_in_thread(self.keys.close))

    async def _end_scan(self) -> None:
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.gather(self._scan, return_exceptions=True)
