"""Reads partitions in order, and buffers what was decoded but not requested yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from bridge.log.embedded.queries import BatchQuery, FetchedRecords, fetch_records, gaps_of
from bridge.log.embedded.store import EmbeddedStore
from bridge.log.embedded.topic_table import partition_id
from bridge.log.port import Record, RecordsRemoved, TopicPartition
from bridge.model.errors import Unsupported


class ReadCursor:
    """The reading position and buffer of each partition. No I/O."""

    def __init__(self) -> None:
        self.positions: dict[TopicPartition, int] = {}
        self._ahead: dict[TopicPartition, list[Record]] = {}
        self._paused: set[TopicPartition] = set()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Move to `offset`; the partition is served last."""
        self.drop([partition])
        self.positions[partition] = max(offset, 0)

    def drop(self, places: Iterable[TopicPartition]) -> None:
        """Forget these partitions."""
        for partition in places:
            self.positions.pop(partition, None)
            self._ahead.pop(partition, None)

    def pause(self, places: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these."""
        self._paused.update(places)

    def resume(self, places: Iterable[TopicPartition]) -> None:
        """Deliver these again."""
        self._paused.difference_update(places)

    def wanted(self) -> list[tuple[TopicPartition, int]]:
        """What to query, in the order of service; buffered partitions need no query."""
        return [
            (partition, at)
            for partition, at in self.positions.items()
            if partition not in self._paused and partition not in self._ahead
        ]

    def store(self, fetched: Iterable[FetchedRecords]) -> None:
        """Buffer these; an empty result moves past the gap."""
        for partition, offset, records, reached, _ in fetched:
            if self.positions.get(partition) != offset:
                continue  # It was moved meanwhile.
            if records:
                self._ahead[partition] = records
            else:
                self.positions[partition] = reached

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` buffered records; partitions that delivered some are served last next
        time.
        """
        taken: list[Record] = []
        for partition in [*self._ahead]:
            if partition in self._paused:
                continue
            if len(taken) >= limit:
                break
            ready = self._ahead.pop(partition)
            delivered = ready[: limit - len(taken)]
            if len(delivered) < len(ready):
                self._ahead[partition] = ready[len(delivered) :]
            taken += delivered
            # Removed and added again: to the end of the queue.
            del self.positions[partition]
            self.positions[partition] = delivered[-1].offset + 1
        return taken


class EmbeddedReader:
    """A reader of named partitions, without a group."""

    def __init__(
        self,
        store: EmbeddedStore,
        offsets: Mapping[TopicPartition, int],
        *,
        report_removed: bool = False,
    ) -> None:
        self._store = store
        self._report_removed = report_removed
        self._cursor = ReadCursor()
        for partition, offset in offsets.items():
            self._cursor.seek(partition, offset)

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """As the port says."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            seen = self._store.bell.rung
            records = self._cursor.take(limit) or await self._look(limit)
            left = end - loop.time()
            if records or left <= 0:
                return records
            await self._store.bell.wait(seen, left)

    async def _look(self, limit: int) -> list[Record]:
        wanted = self.wanted()
        if wanted:
            report = self._report_removed
            fetched = await self._store.reader.run(
                lambda c: fetch_records(c, wanted, limit, back_to_begin=report)
            )
            self._cursor.store(fetched)
            if report and (gaps := gaps_of(fetched)):
                raise RecordsRemoved("", gaps)
        return self._cursor.take(limit)

    def wanted(self) -> list[BatchQuery]:
        """What to query in the file."""
        return [
            BatchQuery(partition, partition_id(self._store.catalogue, partition), at)
            for partition, at in self._cursor.wanted()
        ]

    def assignment(self) -> frozenset[TopicPartition]:
        """As the port says."""
        return frozenset(self._cursor.positions)

    def position(self, partition: TopicPartition) -> int:
        """As the port says."""
        return self._cursor.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """As the port says."""
        self._cursor.positions[partition]  # KeyError for what isn't read here
        self._cursor.seek(partition, offset)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """As the port says."""
        self._cursor.pause(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """As the port says."""
        self._cursor.resume(partitions)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises Unsupported: a reader without a group has nothing to commit."""
        raise Unsupported(f"a reader without a group can't commit {dict(offsets)}: join a group")

    async def close(self) -> None:
        """As the port says."""
