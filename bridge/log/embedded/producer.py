"""Producers and their transactions: collected in memory, written at once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from bridge.log.embedded.producer_fencing import check_epoch
from bridge.log.embedded.store import EmbeddedStore
from bridge.log.embedded.topic_table import partition_id
from bridge.log.embedded.write import Gathered, commit_offsets, write
from bridge.log.port import Entry, TopicPartition


class EmbeddedTransaction:
    """The records and offsets that a block collects."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self.gathered = Gathered(store.max_record_bytes)
        self._offsets: dict[tuple[str, TopicPartition], int] = {}

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """As the port says."""
        self.gathered.add(await self._store.topic(topic), entries, self._store.clock())

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        """See the port; returns at once."""

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """As the port says."""
        for partition, at in offsets.items():
            self._offsets[group, partition] = at

    async def offsets(self) -> dict[tuple[str, int], int]:
        """What was committed, by group and partition id."""
        await self._store.know({partition.topic for _, partition in self._offsets})
        return {
            (group, partition_id(self._store.catalogue, partition)): at
            for (group, partition), at in self._offsets.items()
        }


class EmbeddedProducer:
    """The owner of a transactional id, as long as its epoch is the newest."""

    def __init__(self, store: EmbeddedStore, name: str, epoch: int) -> None:
        self._store = store
        self._name = name
        self._epoch = epoch
        self._closed = False
        self._open = False

    @property
    def transactional_id(self) -> str:
        """As the port says."""
        return self._name

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[EmbeddedTransaction]:
        """As the port says."""
        if self._open:
            raise RuntimeError(f"producer {self._name} has an open transaction already")
        self._open = True
        try:
            transaction = EmbeddedTransaction(self._store)
            yield transaction
            packed, offsets = transaction.gathered.packed(), await transaction.offsets()
            if self._closed:
                raise RuntimeError(f"producer {self._name} is closed")

            def commit(connection: sqlite3.Connection) -> None:
                check_epoch(connection, self._name, self._epoch)
                write(connection, packed)
                commit_offsets(connection, offsets)

            await self._store.writer.run(commit)
        finally:
            self._open = False

    async def close(self) -> None:
        """As the port says. There is nothing to abort: nothing was written."""
        self._closed = True
