"""A member of a group: a reader whose partitions come and go with its leases."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterable, Mapping

from bridge.log.embedded.leases import (
    GroupMember,
    LeaseView,
    check_leases,
    enter,
    generation_of,
    leave,
    rebalance,
    renew,
)
from bridge.log.embedded.queries import FetchedRecords, committed_of, fetch_records, gaps_of
from bridge.log.embedded.reader import EmbeddedReader
from bridge.log.embedded.store import EmbeddedStore
from bridge.log.embedded.topic_table import offsets_of, partition_id
from bridge.log.embedded.write import commit_offsets
from bridge.log.port import Rebalance, Record, RecordsRemoved, TopicPartition
from bridge.model.errors import ConfigurationError, Fenced, OutcomeUnknown, RetryLater

_HEARTBEATS_PER_SESSION = 3


class EmbeddedMember(EmbeddedReader):
    """Created by `join`. A separate task sends heartbeats; everything else happens in `read`."""

    def __init__(self, store: EmbeddedStore, me: GroupMember, rebalance: Rebalance | None) -> None:
        super().__init__(store, {})
        self._me = me
        self._listener = rebalance
        self._places: dict[int, TopicPartition] = {}
        self._leases: dict[int, int] = {}
        """Partitions reported as assigned -> generations of their leases."""
        self._generation = -1
        self._alive_until = 0.0
        self._signs = asyncio.create_task(self._show_life())
        store.leaving.add(self.close)

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """As the port says."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            if self._signs.done():
                self._signs.result()
            seen = self._store.bell.rung
            if self._generation < 0 or loop.time() > self._alive_until:
                await self._settle()
            fetched, generation = await self._look_in_group(limit)
            if generation != self._generation:
                self._generation = -1
                continue
            gaps = gaps_of(fetched)
            self._cursor.store(fetched)
            if gaps:
                raise RecordsRemoved(self._me.group, gaps)
            records = self._cursor.take(limit)
            left = end - loop.time()
            if records or left <= 0:
                return records
            await self._store.bell.wait(seen, min(left, self._me.session_ms / 1000))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As the port says; Fenced unless this member still holds all of them."""
        ids = {
            partition_id(self._store.catalogue, partition): at for partition, at in offsets.items()
        }
        strange = ids.keys() - self._leases.keys()
        if strange:
            raise Fenced(
                f"this member of group {self._me.group} does not hold "
                f"{[partition for partition in offsets if self._id(partition) in strange]} (any "
                "more): drop "
                "what is in progress for them and continue reading"
            )
        generations = {each: self._leases[each] for each in ids}

        def write(connection: sqlite3.Connection) -> None:
            check_leases(connection, self._me, generations)
            commit_offsets(connection, {(self._me.group, each): at for each, at in ids.items()})

        await self._store.writer.run(write)

    async def close(self) -> None:
        """As the port says."""
        if self.close not in self._store.leaving:
            return
        self._store.leaving.discard(self.close)
        self._signs.cancel()
        try:
            # The error that ended the heartbeats is raised by `read`.
            with contextlib.suppress(asyncio.CancelledError, ConfigurationError):
                await self._signs
        finally:
            # If that can't be written now, the end of the session has the same effect later. A
            # replaced file has no members.
            with contextlib.suppress(RetryLater, OutcomeUnknown, ConfigurationError):
                await self._store.writer.run(lambda connection: leave(connection, self._me))

    def _id(self, partition: TopicPartition) -> int:
        return partition_id(self._store.catalogue, partition)

    async def _look_in_group(self, limit: int) -> tuple[list[FetchedRecords], int]:
        wanted = self.wanted()

        def job(connection: sqlite3.Connection) -> tuple[list[FetchedRecords], int]:
            generation = generation_of(connection, self._me.group)
            same = generation == self._generation
            if not same or not wanted:
                return [], generation
            return fetch_records(connection, wanted, limit, back_to_begin=True), generation

        return await self._store.reader.run(job)

    async def _settle(self) -> None:
        """Follow the leases: report what was lost, release surplus, report what was gained.

        If it is interrupted, the next call continues from there.
        """
        release: frozenset[int] = frozenset()
        while True:
            view = await self._rebalance(release)
            gone = {
                each
                for each, generation in self._leases.items()
                if view.held.get(each) != generation
            }
            release = view.surplus
            await self._revoke(gone | (release & self._leases.keys()))
            if not release:
                break
        new = view.held.keys() - self._leases.keys()
        if new:
            await self._assign({each: view.held[each] for each in new})
        self._generation = view.generation

    async def _rebalance(self, release: Iterable[int]) -> LeaseView:
        began = asyncio.get_running_loop().time()
        now = self._store.clock()
        view = await self._store.writer.run(
            lambda connection: rebalance(connection, self._me, release, now)
        )
        self._alive_until = began + self._me.session_ms / 1000
        return view

    async def _revoke(self, ids: Iterable[int]) -> None:
        gone = frozenset(self._places[each] for each in ids)
        if not gone:
            return
        # Deliver nothing more of them, even if the callback fails or is cancelled.
        self._cursor.drop(gone)
        # If they are assigned again, they are no longer paused.
        self._cursor.resume(gone)
        if self._listener is not None:
            await self._listener.revoked(gone)
        for each in ids:
            del self._leases[each]

    async def _assign(self, generations: Mapping[int, int]) -> None:
        names = {
            self._store.catalogue[topic].partitions[number]: TopicPartition(topic, number)
            for topic in self._me.topics
            for number in range(len(self._store.catalogue[topic].partitions))
        }
        self._places |= {each: names[each] for each in generations}
        places = {each: names[each] for each in generations}
        chosen = None
        if self._listener is not None:
            chosen = await self._listener.assigned(frozenset(places.values()))
        ids = [*places]
        committed, first = await self._store.reader.run(
            lambda c: (committed_of(c, self._me.group, ids), offsets_of(c, "first", ids))
        )
        for each, partition in sorted(places.items()):
            start = committed.get(each, first[each])
            self._cursor.seek(partition, (chosen or {}).get(partition, start))
            self._leases[each] = generations[each]

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(self._me.session_ms / 1000 / _HEARTBEATS_PER_SESSION)
            began = asyncio.get_running_loop().time()
            now = self._store.clock()
            # A locked, full or failing disk: the next heartbeat, or `read`, retries.
            with contextlib.suppress(RetryLater, OutcomeUnknown):
                if await self._store.writer.run(lambda c, now=now: renew(c, self._me, now)):  # type: ignore[misc]
                    self._alive_until = began + self._me.session_ms / 1000
                else:
                    self._alive_until = 0.0


async def join(
    store: EmbeddedStore,
    group: str,
    topics: Iterable[str],
    rebalance: Rebalance | None,
    session: float,
) -> EmbeddedMember:
    """Become a member of `group`; partitions come with the first read."""
    wanted = tuple(sorted(set(topics)))
    await store.know(set(wanted))
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    me = GroupMember(group, name, wanted, max(1, round(session * 1000)))
    now = store.clock()
    await store.writer.run(lambda connection: enter(connection, me, now))
    return EmbeddedMember(store, me, rebalance)
