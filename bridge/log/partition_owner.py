"""Group members that write: one fenced producer per partition, on top of any log.

A process that lost a partition isn't fenced by its group alone (Kafka can't check a member's
generation in a producer's transaction). So each assigned partition has a producer of its own,
`{bridge}.{group}.{topic}.{partition}`: opening it fences the partition's old owner and ends its
open transaction, and only then the committed offset is read. Owners commit through `transaction`; a
replaced owner gets Fenced there, and nothing of its transaction becomes visible.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from bridge.closing import close_all
from bridge.log.port import (
    Consumer,
    Log,
    Producer,
    Rebalance,
    Record,
    RecordsRemoved,
    TopicPartition,
    Transaction,
    gap_text,
)
from bridge.model.errors import Fenced, OutcomeUnknown
from bridge.observe import GroupJoined, GroupMoved, Observer, ignore


class PartitionOwner:
    """A group member and the producers of its partitions. Created by `own_partitions`.

    `read` is called by one task at a time; `transaction` may be used by others meanwhile, one
    at a time a partition. While `read` reports a revocation it waits for the open transactions
    of those partitions, so a transaction must not wait for `read`.
    """

    def __init__(
        self,
        log: Log,
        bridge: str,
        group: str,
        rebalance: Rebalance | None,
        watch: GroupWatch,
    ) -> None:
        self._log = log
        self._bridge = bridge
        self._group = group
        self._listener = rebalance
        self._watch = watch
        self._owned: dict[TopicPartition, _Owner] = {}
        self._lost: set[TopicPartition] = set()
        """Assigned by the group, but without a live producer: to be taken again."""
        self._member: Consumer | None = None
        self._joined = False

    @property
    def member(self) -> Consumer:
        """The underlying consumer: pause, resume, seek, position, assignment."""
        if self._member is None:
            raise RuntimeError("owned partitions are used outside of `async with`")
        return self._member

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """As `Consumer.read`. Partitions come, go and are recovered in here; records that were
        removed are reported to the watch, which may refuse to continue.
        """
        if self._lost:
            await self._recover()
        try:
            records = await self.member.read(limit, timeout)
        except RecordsRemoved as error:
            self._watch.removed(error)
            return []
        if not self._joined:
            self._joined = True
            self._watch.joined(self._group)
        if self._lost:
            return [r for r in records if TopicPartition(r.topic, r.partition) not in self._lost]
        return records

    @asynccontextmanager
    async def transaction(self, partition: TopicPartition) -> AsyncIterator[Transaction]:
        """A transaction of this partition's owner: commit the partition's offsets with it.

        Raises Fenced if the partition is not, or no longer, owned by this process: drop what is in
        progress for it and continue reading. Nothing of the transaction is visible then, and its
        records are delivered again here or elsewhere. The same applies to OutcomeUnknown: the next
        `read` ends the transaction one way or the other and continues from what was committed.
        """
        owner = self._owned.get(partition)
        if owner is None or partition in self._lost:
            raise _lost(partition)
        async with owner.busy:
            if self._owned.get(partition) is not owner or partition in self._lost:
                raise _lost(partition)
            try:
                async with owner.producer.transaction() as transaction:
                    yield transaction
            except (Fenced, OutcomeUnknown):
                # A commit without a response is decided by the next producer of the same id, so
                # that partition is taken again too, from the offset that turns out to be committed.
                self._lost.add(partition)
                raise

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Called by the consumer: the stage drops its work, then the producers are closed."""
        held = partitions & self._owned.keys()
        if self._listener is not None and held:
            await self._listener.revoked(frozenset(held))
        await self._close(held)
        self._lost -= partitions

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """Called by the consumer: fences first; committed offsets are read after this returns."""
        await self._fence(partitions)
        chosen = None if self._listener is None else await self._listener.assigned(partitions)
        await self._check_committed(partitions - (chosen or {}).keys())
        return chosen

    async def _check_committed(self, partitions: frozenset[TopicPartition]) -> None:
        """Report partitions with records in which the group has no offset."""
        committed = await self._log.committed(self._group, partitions)
        new = [partition for partition, offset in committed.items() if offset is None]
        if not new:
            return
        begin, end = await self._log.beginning_offsets(new), await self._log.end_offsets(new)
        counts = {
            partition: end[partition] - begin[partition]
            for partition in new
            if end[partition] > begin[partition]
        }
        if counts:
            self._watch.begins(self._group, counts)

    async def _recover(self) -> None:
        """Take back partitions that another owner took although the group assigned them to us.

        That owner had lost its membership and hadn't noticed yet. If it is us who haven't noticed,
        the member finds out in its next read and gives the partition up.
        """
        self._lost &= self.member.assignment()
        lost = frozenset(self._lost)
        dead = frozenset(lost & self._owned.keys())
        if self._listener is not None and dead:
            await self._listener.revoked(dead)
        # They stay lost until all of this has succeeded, so that the next read retries.
        await self._close(dead)
        offsets = await self.assigned(lost) or {}
        missing = lost - offsets.keys()
        committed = await self._log.committed(self._group, missing)
        begin = await self._log.beginning_offsets(missing)
        for partition in lost:
            at = offsets[partition] if partition in offsets else committed[partition]
            self.member.seek(partition, begin[partition] if at is None else at)
        self._lost -= lost

    async def _fence(self, partitions: Iterable[TopicPartition]) -> None:
        wanted = [partition for partition in partitions if partition not in self._owned]
        opening = {
            partition: asyncio.ensure_future(self._log.producer(self._identity(partition)))
            for partition in wanted
        }
        try:
            if opening:
                await asyncio.wait(opening.values())
        finally:
            for task in opening.values():
                task.cancel()
            await asyncio.gather(*opening.values(), return_exceptions=True)
            # What was opened is closed by `close`, also if the caller was cancelled before the others.
            for partition, task in opening.items():
                if not task.cancelled() and task.exception() is None:
                    self._owned[partition] = _Owner(task.result())
        for task in opening.values():
            task.result()

    async def _close(self, partitions: Iterable[TopicPartition]) -> None:
        await close_all(*(partial(self._close_one, partition) for partition in partitions))

    async def _close_one(self, partition: TopicPartition) -> None:
        owner = self._owned[partition]
        async with owner.busy:
            del self._owned[partition]
            await owner.producer.close()

    def _identity(self, partition: TopicPartition) -> str:
        return f"{self._bridge}.{self._group}.{partition.topic}.{partition.partition}"

    async def start(self, topics: Iterable[str], session_timeout: float) -> None:
        """Join the group."""
        self._member = await self._log.join(
            self._group, topics, self, session_timeout=session_timeout
        )

    async def close(self) -> None:
        """Close the producers, then leave the group, so that the next owner finds no open
        transaction.
        """
        try:
            await self._close(list(self._owned))
        finally:
            await self.member.close()


class GroupWatch(Protocol):
    """Called by `PartitionOwner.read` when it reads, and when a group can't resume where it was."""

    def joined(self, group: str) -> None:
        """The first read of this member has ended."""

    def removed(self, error: RecordsRemoved) -> None:
        """Records that the group had not read were removed. Raise to refuse later ones."""

    def begins(self, group: str, counts: Mapping[TopicPartition, int]) -> None:
        """The group has no offset in these partitions, so it reads everything in them; `counts`:
        upper bounds of their records.
        """


class ObservedGroup:
    """A GroupWatch that notifies an observer and continues."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def joined(self, group: str) -> None:
        """As GroupWatch."""
        self._observer(GroupJoined(group))

    def removed(self, error: RecordsRemoved) -> None:
        """One notice per partition."""
        for partition, gap in sorted(error.gaps.items()):
            reason = f"{gap_text(partition, gap)}; it resumes at offset {gap.begin}"
            self._observer(GroupMoved(error.group, partition.topic, gap.missing, reason))

    def begins(self, group: str, counts: Mapping[TopicPartition, int]) -> None:
        """One notice per topic."""
        topics: dict[str, list[int]] = {}
        for partition, count in counts.items():
            topics.setdefault(partition.topic, []).append(count)
        for topic, records in sorted(topics.items()):
            reason = (
                f"has no offsets in {topic} ({len(records)} partitions with records): it is new, or "
                f"they were deleted or expired; up to {sum(records)} records are handled from the "
                "beginning"
            )
            self._observer(GroupMoved(group, topic, 0, reason))


class _Owner:
    """A partition's producer and the lock of its one open transaction."""

    __slots__ = ("busy", "producer")

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.busy = asyncio.Lock()


def _lost(partition: TopicPartition) -> Fenced:
    return Fenced(
        f"partition {partition.partition} of {partition.topic} is not owned by this process (any "
        "more): drop what is in progress for it and continue reading"
    )


@asynccontextmanager
async def own_partitions(
    log: Log,
    bridge: str,
    group: str,
    topics: Iterable[str],
    rebalance: Rebalance | None = None,
    *,
    watch: GroupWatch | None = None,
    session_timeout: float = 10.0,
) -> AsyncIterator[PartitionOwner]:
    """Join `group` as an owner of partitions; leaves it at the end of the block.

    `rebalance.revoked` is called before a partition's producer is closed, `rebalance.assigned`
    after it was opened; a partition that was lost and taken back is reported as revoked and
    assigned again, so what is in progress for it must be dropped each time.
    """
    owned = PartitionOwner(log, bridge, group, rebalance, watch or ObservedGroup(ignore))
    await owned.start(topics, session_timeout)
    try:
        yield owned
    finally:
        await owned.close()
