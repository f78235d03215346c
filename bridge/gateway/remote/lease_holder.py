"""Acquires and keeps the lease of one system's reads in the log.

Who owns a system is decided by the log's fencing: an owner writes with a producer of one transactional
id per system, and whoever opens that next fences it. The lease's time only says for how long a fenced
owner may still act, before it has noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from bridge.closing import close_all
from bridge.gateway.remote.lease import LeaseRecord, LeaseWatch, OwnLease, dump_lease, load_lease
from bridge.log.port import Consumer, Entry, Log, Producer, TopicPartition
from bridge.log.read_to_end import read_until
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.errors import BridgeError, Fenced, OutcomeUnknown, RetryLater
from bridge.model.names import GATEWAYS, internal_topic

TRANSACTIONAL_ID: Final = "{bridge}.gateway.{system}"
RENEWALS_PER_LEASE: Final = 4
READ_WAIT_S: Final = 1.0


class LeaseTerms(NamedTuple):
    """What a process would own.

    instance: the process. address: where it would be asked. lease_s: how long it owns the system after
    each renewal.
    """

    bridge: str
    system: str
    instance: str
    address: str
    lease_s: float


class LeaseReader:
    """Reads the leases of one system in the order in which they were written.

    `watch` is as of the last read. Used by one task at a time; `close` it.
    """

    def __init__(self, log: Log, bridge: str, system: str, clock: Callable[[], float]) -> None:
        self.watch = LeaseWatch()
        self._log = log
        self._key = system.encode()
        self._partition = TopicPartition(internal_topic(bridge, GATEWAYS), 0)
        self._clock = clock
        self._reader: Consumer | None = None

    async def read_to_end(self) -> LeaseWatch:
        """Everything that was written before this call. Raises RetryLater."""
        reader = await self._opened()
        ends = await self._log.end_offsets([self._partition])
        async for records in read_until(self._log, reader, ends):
            for record in records:
                self._take(record.key, record.value)
        return self.watch

    async def wait(self, seconds: float) -> None:
        """Read what comes within that time; returns at the first."""
        reader = await self._opened()
        for record in await reader.read(1000, max(0.0, min(seconds, READ_WAIT_S))):
            self._take(record.key, record.value)

    async def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            await self._reader.close()

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        if key != self._key or value is None:
            return
        # What another program wrote there is no lease of an owner.
        with suppress(ValueError):
            self.watch.saw(load_lease(value), self._clock())

    async def _opened(self) -> Consumer:
        if self._reader is None:
            begin = await self._log.beginning_offsets([self._partition])
            self._reader = await self._log.reader(begin)
        return self._reader


class LeaseHolder:
    """The lease of one process: `acquire`, then `keep` beside all that needs it, at last `release`.

    clock: monotonic seconds.
    """

    def __init__(
        self,
        log: Log,
        terms: LeaseTerms,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.generation = 0
        self._log = log
        self._terms = terms
        self._clock = clock
        self._sleep = sleep
        self._lease = OwnLease(terms.system, terms.lease_s)
        self._leases = LeaseReader(log, terms.bridge, terms.system, clock)
        self._producer: Producer | None = None

    @property
    def owner(self) -> LeaseRecord | None:
        """The owner as last read: while this process waits, for whom."""
        return self._leases.watch.record

    def check(self) -> None:
        """Raises RetryLater once this process may no longer act as the owner. May be called in any
        thread.
        """
        self._lease.check(self._clock())

    async def acquire(self) -> int:
        """Wait until nobody owns the system, then own it; returns the generation. Raises RetryLater,
        Fenced if another process took it in the same instant.
        """
        await self._log.create_topics([internal_topic_spec(self._terms.bridge, GATEWAYS)])
        await self._wait_for_end()
        name = TRANSACTIONAL_ID.format(bridge=self._terms.bridge, system=self._terms.system)
        # From here on nobody can renew; what an owner wrote before is read below.
        self._producer = await self._log.producer(name)
        await self._wait_for_end()
        self.generation = self._leases.watch.next_generation
        await self._write()
        return self.generation

    async def keep(self) -> None:
        """Renew until the lease is lost. Raises Fenced when another process owns the system,
        RetryLater when the log has taken no renewal in time.
        """
        while True:
            await self._sleep(self._lease.lease_s / RENEWALS_PER_LEASE)
            try:
                await self._write()
            except Fenced:
                self._lease.lose("another process has taken it over")
                raise
            except (RetryLater, OutcomeUnknown):
                # Not with another producer: that would fence whoever has taken over meanwhile.
                self.check()

    async def release(self) -> None:
        """Say that nobody has to wait, if the lease is still this process's, and close."""
        producer = self._producer
        await close_all(
            self._leases.close, self._end_lease, None if producer is None else producer.close
        )

    async def _end_lease(self) -> None:
        try:
            self.check()
        except RetryLater:
            return
        # Without that record a successor waits until the lease has ended.
        with suppress(BridgeError):
            await self._write(released=True)
        self._lease.lose("it was released")

    async def _wait_for_end(self) -> None:
        watch = await self._leases.read_to_end()
        while (left := watch.ends_at - self._clock()) > 0:
            await self._leases.wait(left)

    async def _write(self, *, released: bool = False) -> None:
        """Renew, or release."""
        assert self._producer is not None  # noqa: S101 - acquired
        began = self._clock()
        terms = self._terms
        record = LeaseRecord(
            self.generation,
            terms.instance,
            terms.address,
            terms.lease_s,
            time.time_ns() // 1000,
            released,
        )
        async with self._producer.transaction() as transaction:
            await transaction.append(
                internal_topic(terms.bridge, GATEWAYS),
                [Entry(terms.system.encode(), dump_lease(record))],
            )
        if not released:
            self._lease.renewed(began)
