"""The log in one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bridge.log.embedded import topic_table as topics_of
from bridge.log.embedded.compaction import compact
from bridge.log.embedded.filesystem import check_location, network_file_system
from bridge.log.embedded.group_list import listed
from bridge.log.embedded.leases import check_deserted, delete
from bridge.log.embedded.member import EmbeddedMember, join
from bridge.log.embedded.producer import EmbeddedProducer
from bridge.log.embedded.producer_fencing import take_over
from bridge.log.embedded.queries import committed_of, offset_at
from bridge.log.embedded.reader import EmbeddedReader
from bridge.log.embedded.schema import prepare
from bridge.log.embedded.store import EmbeddedStore
from bridge.log.embedded.topic_table import StoredTopic, offsets_of, partition_id
from bridge.log.embedded.write import Gathered, commit_offsets, write
from bridge.log.port import (
    Entry,
    GroupInfo,
    Rebalance,
    TopicInfo,
    TopicPartition,
    TopicSpec,
)
from bridge.model.errors import OutcomeUnknown, RetryLater

DEFAULT_PARTITIONS = 4
MAX_RECORD_BYTES = 1_000_000
COMPACT_EVERY_S = 60.0
WRITE_TIMEOUT_S = 60.0


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class EmbeddedLog:
    """The log in the file `path`: `bridge.log.port.Log`.

    `partitions`: of topics that don't specify a number.
    `clock`: milliseconds since 1970, the same for all processes of the file.
    `compact_every`: seconds between checks for what could be compacted; None leaves that to other
    processes and to `compact`.
    `patience`: seconds to wait for another process that writes, before RetryLater.
    `network`: returns the name of the network file system that holds a folder.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        partitions: int = DEFAULT_PARTITIONS,
        clock: Callable[[], int] = now_ms,
        max_record_bytes: int = MAX_RECORD_BYTES,
        compact_every: float | None = COMPACT_EVERY_S,
        patience: float = WRITE_TIMEOUT_S,
        network: Callable[[Path], str | None] = network_file_system,
    ) -> None:
        self._path = Path(path)
        self._partitions = partitions
        self._clock = clock
        self._max_record_bytes = max_record_bytes
        self._compact_every = compact_every
        self._patience = patience
        self._network = network
        self._opened: EmbeddedStore | None = None
        self._compacting: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """As the port says."""
        return f"sqlite:///{self._path}"

    @property
    def max_record_bytes(self) -> int:
        """As the port says."""
        return self._max_record_bytes

    @property
    def _store(self) -> EmbeddedStore:
        if self._opened is None:
            raise RuntimeError(f"the log {self.name} is not open")
        return self._opened

    async def open(self) -> None:
        """As the port says; creates the file and its folder if they are missing."""
        await asyncio.to_thread(check_location, self._path, self._network)
        await asyncio.to_thread(prepare, self._path, self._patience)
        store = EmbeddedStore(self._path, self._clock, self._max_record_bytes, self._patience)
        store.start()
        self._opened = store
        await store.refresh()
        if self._compact_every is not None:
            self._compacting = asyncio.create_task(self._compact_again(self._compact_every))

    async def close(self) -> None:
        """As the port says. Members leave their groups; running writes are finished."""
        store, self._opened = self._opened, None
        if store is None:
            return
        # Each of these is attempted even if others fail; errors are raised at the end.
        async with contextlib.AsyncExitStack() as ending:
            ending.push_async_callback(store.stop)
            for leave in store.leaving:
                ending.push_async_callback(leave)
            if self._compacting is not None:
                self._compacting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._compacting

    # -- topics

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """As the port says."""
        wanted = list(specs)
        self._store.catalogue = await self._store.writer.run(
            lambda c: topics_of.create(c, wanted, self._partitions)
        )

    async def topics(self) -> Mapping[str, TopicInfo]:
        """As the port says, with the number of records."""
        return await self._store.reader.run(topics_of.described)

    async def compact(self, topic: str | None = None) -> int:
        """Compact and shorten now, all topics or one; returns the number of removed records."""
        await self._store.refresh()
        chosen = self._store.catalogue.values() if topic is None else [await self._topic(topic)]
        return sum([await compact(self._store, each, force=True) for each in chosen])

    async def _compact_again(self, every: float) -> None:
        """Every process may do this: they all remove the same records."""
        while True:
            await asyncio.sleep(every)
            # A full, locked or failing disk: what is removable now still is later.
            with contextlib.suppress(RetryLater, OutcomeUnknown):
                await self._store.refresh()
                for each in self._store.catalogue.values():
                    await compact(self._store, each, force=False)

    async def _topic(self, name: str) -> StoredTopic:
        return await self._store.topic(name)

    # -- writing

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """As the port says."""
        gathered = Gathered(self._max_record_bytes)
        gathered.add(await self._topic(topic), entries, self._clock())
        packed = gathered.packed()
        if packed:
            await self._store.writer.run(lambda connection: write(connection, packed))

    async def producer(self, transactional_id: str) -> EmbeddedProducer:
        """As the port says."""
        epoch = await self._store.writer.run(lambda c: take_over(c, transactional_id))
        return EmbeddedProducer(self._store, transactional_id, epoch)

    # -- reading

    async def join(
        self,
        group: str,
        topics: Iterable[str],
        rebalance: Rebalance | None = None,
        *,
        session_timeout: float = 10.0,
    ) -> EmbeddedMember:
        """As the port says."""
        return await join(self._store, group, topics, rebalance, session_timeout)

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> EmbeddedReader:
        """As the port says."""
        await self._ids(offsets)
        return EmbeddedReader(self._store, offsets, report_removed=report_removed)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """As the port says."""
        return await self._edges("first", partitions)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """As the port says."""
        return await self._edges("next", partitions)

    async def high_watermarks(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The ends: a transaction is appended when it commits, so nothing appended is undecided."""
        return await self._edges("next", partitions)

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        """As the port says."""
        ids = await self._ids(partitions)
        ends = await self._edges("next", ids)
        offsets = await self._store.reader.run(
            lambda c: {partition: offset_at(c, each, timestamp) for partition, each in ids.items()}
        )
        return {
            partition: ends[partition] if at is None else at for partition, at in offsets.items()
        }

    async def _edges(
        self, which: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        ids = await self._ids(partitions)
        offsets = await self._store.reader.run(lambda c: offsets_of(c, which, ids.values()))
        return {partition: offsets[each] for partition, each in ids.items()}

    async def _ids(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        await self._store.know({partition.topic for partition in wanted})
        return {partition: partition_id(self._store.catalogue, partition) for partition in wanted}

    # -- groups

    async def groups(self) -> Mapping[str, GroupInfo]:
        """As the port says."""
        now = self._clock()
        return await self._store.reader.run(lambda c: listed(c, now))

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        """As the port says."""
        ids = await self._ids(partitions)
        offsets = await self._store.reader.run(lambda c: committed_of(c, group, ids.values()))
        return {partition: offsets.get(each) for partition, each in ids.items()}

    async def delete_group(self, group: str) -> None:
        """As the port says."""
        now = self._clock()
        await self._store.writer.run(lambda c: delete(c, group, now))

    async def reset_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """As the port says."""
        ids = await self._ids(offsets)
        now = self._clock()

        def reset(connection: sqlite3.Connection) -> None:
            check_deserted(connection, group, now)
            commit_offsets(
                connection, {(group, ids[partition]): at for partition, at in offsets.items()}
            )

        await self._store.writer.run(reset)
