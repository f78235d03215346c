"""The protocols of an event log. Public as `bridge.log.port`, which has their common promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.log.port.values import Entry, GroupInfo, Record, TopicInfo, TopicPartition, TopicSpec


class Transaction(Protocol):
    """Records of any topics and consumer offsets that become visible together or not at all.

    Used inside of its `async with` block, by one task at a time.
    """

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """Add records, in order per partition; readers see them once the block has ended.

        Raises RecordTooLarge, ConfigurationError for a topic that doesn't exist, Rejected for a
        partition that doesn't, RetryLater. The transaction is then aborted at the end of the block.
        """

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        """Return as soon as such records, by topic, could be sent at once; appends nothing.

        Optional. For callers that can still gather more: on Kafka a transaction waits for the end of
        the previous one before it takes its first record. Raises nothing: what goes wrong is raised
        by `append` or at the end of the block.
        """

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets that `group` should read with this transaction. No I/O."""


class Producer(Protocol):
    """The one live owner of a transactional id; opening another one fences this one."""

    @property
    def transactional_id(self) -> str:
        """The id under which it was opened."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction: commits at the end of the block, aborts when the block raises.

        One at a time per producer. Keep the block short: readers of its partitions wait for its end.
        Raises on exit: Fenced when another producer has taken over (nothing is visible), RetryLater
        (nothing is visible), OutcomeUnknown (it may be).
        """

    async def close(self) -> None:
        """Release the id. An open transaction is aborted. Never raises Fenced."""


class Rebalance(Protocol):
    """Called by a Consumer, within its own `read`, before records of new partitions are delivered.

    `revoked` comes before `assigned` where both happen. What they raise is raised by `read`, and the
    next `read` calls them again.
    """

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These partitions are lost or about to be: finish or drop what is in progress for them.

        The group waits for the return (on Kafka for 30 s at most).
        """

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """These partitions (the new ones only) are this member's now.

        Returns offsets to start from; None, or a partition left out: the committed offset, else the
        earliest record. Committed offsets are read after the return, so that a producer that is
        opened here fences the previous owner first.
        """


class Consumer(Protocol):
    """A member of a group (`Log.join`), or a reader of given partitions (`Log.reader`).

    Used by one task at a time. Delivers committed records only, each partition in its order. A group
    without a committed offset starts at the earliest record.
    """

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """Up to `limit` records as soon as there is one; [] after `timeout` seconds.

        Waiting costs next to nothing and ends when a record is committed. A call that is cancelled
        loses no record. A member calls its Rebalance in here. Raises RecordsRemoved, once, when
        records that a member has not read were removed, before it delivers later ones; the next call
        continues with what exists. A reader without a group skips them, unless it was opened with
        `report_removed`. Raises RetryLater.
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that `read` delivers; those of a member change during `read` only."""

    def position(self, partition: TopicPartition) -> int:
        """The offset that would be read next. Raises KeyError for a partition that isn't assigned.

        Moves past transaction markers and aborted records, which `read` never delivers.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at `offset`. Raises KeyError for a partition that isn't assigned."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until `resume`, or until they are assigned again.

        Membership and positions are kept.
        """

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver these again."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the group's next offsets, outside of any transaction. Group members only.

        Raises Fenced if partitions have gone to another member, RetryLater while the group is
        rebalancing (nothing is committed in either case), Unsupported for a reader without a group.
        """

    async def close(self) -> None:
        """Leave the group at once, so that others take over without waiting."""


class Log(Protocol):
    """The event log. Call `open` first; afterwards every method raises RetryLater while it is
    unavailable.

    Methods that name a topic or a partition that doesn't exist raise ConfigurationError (a topic)
    or Rejected or ConfigurationError (a partition number).
    """

    @property
    def name(self) -> str:
        """For people, without secrets: `sqlite:///var/bridge.db`, `kafka://k1:9092`."""

    @property
    def max_record_bytes(self) -> int:
        """The most bytes of key, value and headers together that a record may have (1,000,000)."""

    async def open(self) -> None:
        """Connect. Raises RetryLater if the log is unavailable, ConfigurationError if it can't
        work.
        """

    async def close(self) -> None:
        """Close every consumer, producer and connection that is still open. Idempotent."""

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create those that are missing; may be called by many processes at once.

        Raises ConfigurationError for a topic that exists with another number of partitions than its
        spec says; other differences are left alone (`topic_specs.spec_differences` finds them).
        """

    async def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic of the log by its name, internal ones included, Kafka's own left out."""

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """Append outside of any transaction: all or none, in order, durable on return.

        Raises RecordTooLarge, RetryLater (nothing was appended), OutcomeUnknown (all or nothing was).
        """

    async def producer(self, transactional_id: str) -> Producer:
        """Take over `transactional_id`: its previous owner is fenced and its open transaction ended."""

    async def join(
        self,
        group: str,
        topics: Iterable[str],
        rebalance: Rebalance | None = None,
        *,
        session_timeout: float = 10.0,
    ) -> Consumer:
        """Become a member of `group`; partitions are assigned during `read`.

        rebalance: called when partitions come and go
        session_timeout: seconds after which a member that doesn't respond loses its partitions;
            heartbeats are sent in the background, however long the caller works between reads
        """

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> Consumer:
        """Read these partitions from these offsets, without a group. Several may exist at once.

        report_removed: its `read` raises RecordsRemoved as a member's does, also for an offset past
            the end, and continues at the beginning; otherwise it skips what was removed
        """

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The first offset that still exists, by partition."""

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """One past the last offset that a reader can reach now, by partition.

        Everything that was committed before the call is included. Records of open transactions, and
        all that follow them in their partitions, are not.
        """

    async def high_watermarks(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """One past the last offset that is appended now, decided or not, by partition.

        Never below `end_offsets` of an earlier call; records of open transactions are included. All
        that was committed before the call, in whichever partition, is below it, though on Kafka
        readers may not reach it yet: there a commit becomes visible partition by partition.

        A reader whose `position` is at or past the high watermark, and that began at or before the
        first record it wants, has delivered everything committed before the call that still exists.
        Positions get there: past aborted records, and past what compaction or retention removed, as
        soon as the transactions that were open at the call have ended.

        Waits for no transaction. Raises RetryLater, and for partitions that don't exist as all
        methods.
        """

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset whose timestamp is >= `timestamp`; the end if there is none."""

    async def groups(self) -> Mapping[str, GroupInfo]:
        """Every consumer group that has members or commits, by name."""

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        """The next offset that `group` reads, by partition; None where it has committed none.

        Waits for transactions that are about to commit offsets of the group.
        """

    async def reset_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's next offsets by hand. Raises Rejected while the group has live members."""

    async def delete_group(self, group: str) -> None:
        """Delete a group and its offsets; nothing happens where it doesn't exist.

        A member that joins later starts as that of a new group. Raises Rejected while the group has
        live members.
        """
