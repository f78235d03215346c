"""A member of a group, or a reader of given partitions, over one aiokafka consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import aiokafka
from aiokafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError

from bridge.closing import close_all
from bridge.log.kafka import internals
from bridge.log.kafka.errors import translate, translated_errors
from bridge.log.kafka.membership import KafkaMembership
from bridge.log.port import Gap, Record, RecordsRemoved, TopicPartition
from bridge.model.errors import Fenced, RetryLater


class Starts(Protocol):
    """Reads where a group begins in partitions: committed offsets, else the beginnings."""

    def __call__(
        self, partitions: frozenset[TopicPartition]
    ) -> Awaitable[Mapping[TopicPartition, int]]: ...


class Begins(Protocol):
    """Reads the first existing offsets."""

    def __call__(
        self, partitions: Iterable[TopicPartition]
    ) -> Awaitable[Mapping[TopicPartition, int]]: ...


class KafkaConsumer:
    """Created by `KafkaLog.join` and `KafkaLog.reader`. One caller at a time.

    Fetching continues in one task that survives a cancelled `read`; its records then wait in
    `_ready` for the next one.
    """

    def __init__(
        self,
        client: aiokafka.AIOKafkaConsumer,
        name: str,
        membership: KafkaMembership | None = None,
        starts: Starts | None = None,
        forget: Callable[[KafkaConsumer], None] | None = None,
        *,
        group: str = "",
        begins: Begins | None = None,
    ) -> None:
        """`group`: of a member only. `begins`: None: what was removed is skipped."""
        self._client = client
        self._name = name
        self._membership = membership
        self._starts = starts
        self._forget = forget
        self._group = group
        self._begins = begins
        self._out_of_range: dict[TopicPartition, int] = {}
        self._ready: deque[Record] = deque()
        self._fetching: asyncio.Task[dict[Any, list[Any]]] | None = None

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """See the port. Rebalances are reported here, before any record."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            if self._membership is not None and self._membership.has_news:
                await self._rebalance(self._membership)
                continue
            if self._out_of_range and self._begins is not None:
                await self._raise_removed(self._begins)
            if self._ready:
                return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
            left = deadline - loop.time()
            if self._may_fetch() and await self._fetch(limit, 0.0):
                continue
            if left <= 0:
                return []
            await self._wait(limit, left)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that `read` delivers; a member's change during `read` only."""
        if self._membership is not None:
            return self._membership.held
        return frozenset(TopicPartition(*partition) for partition in self._client.assignment())

    def position(self, partition: TopicPartition) -> int:
        """The offset that would be read next; past commit markers that were passed."""
        self._absorb()
        ready = next((r.offset for r in self._ready if (r.topic, r.partition) == partition), None)
        if self._begins is not None and self._membership is None:
            # What is missing isn't passed before it is raised.
            missing = self._out_of_range.get(partition)
            if missing is not None:
                return missing if ready is None else min(missing, ready)
        if ready is not None:
            return ready
        at = internals.position(self._client, aiokafka.TopicPartition(*partition))
        # While the broker is queried for the partition's new beginning, the position is unchanged.
        return self._out_of_range[partition] if at is None else at

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read this partition from `offset` on. Raises KeyError if it isn't assigned."""
        if partition not in self.assignment():
            raise KeyError(partition)
        self._drop({partition})
        self._client.seek(aiokafka.TopicPartition(*partition), offset)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until `resume`; unassigned ones are ignored."""
        mine = self.assignment().intersection(partitions)
        for partition, offset in self._drop(mine).items():
            self._client.seek(aiokafka.TopicPartition(*partition), offset)
        self._client.pause(*(aiokafka.TopicPartition(*partition) for partition in mine))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver these again; unassigned ones are ignored."""
        mine = self.assignment().intersection(partitions)
        self._client.resume(*(aiokafka.TopicPartition(*partition) for partition in mine))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets.

        Raises Fenced if the partitions went to another member, RetryLater while the group
        is rebalancing (the next `read` reports the result); nothing is committed then.
        """
        if not offsets:
            return
        doing = f"{self._name}: commit of offsets"
        lost = sorted(set(offsets) - self.assignment())
        if lost:
            raise Fenced(f"{doing}: {lost[0].topic} {lost[0].partition} is not held any more")
        with translated_errors(doing):
            try:
                await self._client.commit(
                    {aiokafka.TopicPartition(*partition): at for partition, at in offsets.items()}
                )
            except CommitFailedError as error:
                if isinstance(error.__cause__, RebalanceInProgressError):
                    raise RetryLater(f"{doing}: the group is rebalancing its partitions") from error
                raise Fenced(f"{doing}: the partitions went to another member") from error

    async def close(self) -> None:
        """Leave the group at once, so that others take over without waiting."""
        if self._membership is not None:
            self._membership.close()
        await close_all(self._end_fetching, self._stop_client)

    async def _end_fetching(self) -> None:
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait({fetching})
            if not fetching.cancelled() and not isinstance(fetching.exception(), KafkaError):
                fetching.result()

    async def _stop_client(self) -> None:
        # An unavailable broker isn't notified; it ends the session by itself.
        with suppress(KafkaError, OSError):
            await internals.stop(self._client)
        if self._forget is not None:
            self._forget(self)

    async def _rebalance(self, membership: KafkaMembership) -> None:
        """Call the caller's Rebalance, then seek to where the new partitions begin."""
        self._drop(await membership.tell_revoked())
        came = await membership.tell_assigned()
        if came is None:
            return
        partitions, chosen = came
        assert self._starts is not None, "a member knows where its group begins"  # noqa: S101
        with translated_errors(f"{self._name}: offsets of new partitions"):
            starts = {**await self._starts(partitions - set(chosen)), **chosen}
        if not membership.settle(partitions):
            return  # The group rebalanced meanwhile.
        # aiokafka may have fetched from older offsets so far.
        self._drop(partitions)
        self._out_of_range.clear()
        for partition in partitions:
            self.start(partition, starts[partition])

    def start(self, partition: TopicPartition, offset: int) -> None:
        """Begin to read a partition that has just been assigned."""
        client_partition = aiokafka.TopicPartition(*partition)
        self._client.seek(client_partition, offset)
        internals.on_reset(self._client, client_partition, partial(self._note, partition))

    def _note(self, partition: TopicPartition, position: int) -> None:
        self._out_of_range[partition] = position

    async def _raise_removed(self, begins_of: Begins) -> None:
        """Raise RecordsRemoved for records that aiokafka skips by itself."""
        mine = {
            partition: at
            for partition, at in self._out_of_range.items()
            if partition in self.assignment()
        }
        begins = await begins_of(mine)
        self._out_of_range.clear()
        if self._membership is None:
            # While aiokafka resets a position, there is none that could be asked for.
            dropped = self._drop(mine)
            for partition, begin in begins.items():
                self._client.seek(aiokafka.TopicPartition(*partition), begin)
                if begin > mine[partition]:
                    mine[partition] = min(mine[partition], dropped.get(partition, begin))
        if mine:
            gaps = {partition: Gap(at, begins[partition]) for partition, at in mine.items()}
            raise RecordsRemoved(self._group, gaps)

    def _may_fetch(self) -> bool:
        """Whether fetching returns at once: not while a task does it, nor while joining."""
        if self._fetching is not None:
            return False
        return self._membership is None or self._membership.settled

    async def _fetch(self, limit: int, timeout: float) -> bool:
        with translated_errors(f"{self._name}: read"):
            fetched = await self._client.getmany(
                timeout_ms=int(timeout * 1000), max_records=max(limit, 1)
            )
        return self._take(fetched)

    async def _wait(self, limit: int, timeout: float) -> None:
        """Until records came, the group changed or the time is over."""
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(
                self._client.getmany(
                    timeout_ms=max(1, int(timeout * 1000)), max_records=max(limit, 1)
                )
            )
        waiting: set[asyncio.Future[Any]] = {self._fetching}
        if self._membership is not None:
            waiting.add(self._membership.news())
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        self._absorb()

    def _absorb(self) -> None:
        """Take the records of the fetching task. Raises what ended it."""
        if self._fetching is None or not self._fetching.done():
            return
        task, self._fetching = self._fetching, None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            raise translate(error, f"{self._name}: read") from error
        self._take(task.result())

    def _take(self, fetched: Mapping[Any, list[Any]]) -> bool:
        if self._membership is not None and not self._membership.settled:
            return False  # Of partitions that are not ours (yet): read again from their start.
        self._ready.extend(
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
            for records in fetched.values()
            for r in records
        )
        return bool(self._ready)

    def _drop(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Discard fetched records of these; returns the first discarded offset of each."""
        self._absorb()
        gone = set(partitions)
        if not gone or not self._ready:
            return {}
        first: dict[TopicPartition, int] = {}
        kept: deque[Record] = deque()
        for record in self._ready:
            partition = TopicPartition(record.topic, record.partition)
            if partition in gone:
                first.setdefault(partition, record.offset)
            else:
                kept.append(record)
        self._ready = kept
        return first
