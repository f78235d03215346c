"""What every log promises. `bridge.kit.log` is the suite that holds an implementation to it.

Times are milliseconds since 1970 (UTC), as Kafka's. Offsets of one partition rise; they may
have gaps. A record's partition is murmur2 of its key (Kafka's default), the same in every log.
Every coroutine may be cancelled; what was cancelled has happened wholly or not at all.

Errors, by what to do: `RetryLater` (the log is away or the disk is full; nothing was written
unless the error is `OutcomeUnknown`), `Fenced` (end), `ConfigurationError` (fix it),
`OutcomeUnknown` (a commit whose answer was lost: open a new Producer under the same
transactional id, which settles it, then read what is there).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from bridge.model.errors import BridgeError, Rejected

Headers = Sequence[tuple[str, bytes]]
Cleanup = Literal["delete", "compact"]


class Entry(NamedTuple):
    """A record to append. A plain tuple of the same five slots serves as well (the hot path).

    `timestamp` None: now. `partition` None: by murmur2 of `key` (a record without key goes to
    partition 0). `value` None: a tombstone.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None
    partition: int | None = None


class Record(NamedTuple):
    """A record as read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. `retention_ms`/`history_ms` None: unlimited / compact at once.

    `history_ms` is `min.compaction.lag.ms` and `delete.retention.ms` of a compacted topic.
    `partitions` None: the log's configured number.
    """

    name: str
    cleanup: Cleanup = "delete"
    partitions: int | None = None
    history_ms: int | None = None
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as it is."""

    spec: TopicSpec
    partitions: int
    records: int | None = None


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group.

    `members` ids of the live ones; `committed` the next offset to read, by partition; `topics` what
    the live members read.
    """

    name: str
    members: tuple[str, ...]
    committed: Mapping[TopicPartition, int]
    topics: frozenset[str] = frozenset()


class RecordTooLarge(Rejected):
    """An entry is over the log's record limit; nothing of its batch was appended."""

    def __init__(self, message: str) -> None:
        super().__init__("record_too_large", message)


class Gap(NamedTuple):
    """Records that a group will not see: it stood at `position`, and reads on at `begin`.

    `begin` at or before `position`: the topic was made again, or its end was lost.
    """

    position: int
    begin: int

    @property
    def missing(self) -> int:
        """How many offsets there were in between, markers of transactions among them."""
        return max(0, self.begin - self.position)


class RecordsRemoved(BridgeError):
    """Records in front of a group were removed before it read them, by retention or by hand."""

    def __init__(self, group: str, gaps: Mapping[TopicPartition, Gap]) -> None:
        self.group = group
        self.gaps = dict(gaps)
        super().__init__(
            "; ".join(
                f"group {group}: {gap_text(partition, gap)}"
                for partition, gap in sorted(gaps.items())
            )
        )


def gap_text(partition: TopicPartition, gap: Gap) -> str:
    """What is missing of a partition, in words."""
    where = f"{partition.topic}, partition {partition.partition}"
    if gap.missing:
        return (
            f"of {where}, up to {gap.missing} records from offset {gap.position} on were removed "
            "before they were read (by retention, or by hand)"
        )
    return (
        f"{where} ends before offset {gap.position}, up to which it was read: the topic was made "
        "again, or its end was lost"
    )


class Transaction(Protocol):
    """Records for any topics and consumer offsets that become visible together or not at all."""

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """Add records, in order. They are visible to `read_committed` once committed."""

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        """Return when such records, by topic, could travel at once; nothing is appended.

        For whoever still gathers: on Kafka a transaction waits for the end of the last one before
        it takes its first record, and what comes meanwhile can still go along. Calling it is never
        needed; what goes wrong is raised by `append` or at the end.
        """

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, with this transaction, the next offsets that `group` should read."""


class Producer(Protocol):
    """The one live owner of a transactional id. Opening a second one fences the first."""

    @property
    def transactional_id(self) -> str: ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits at the end of the block, aborts when the block raises.

        One at a time a producer; the block should be short, since readers wait for it.
        Raises Fenced on exit when another producer has taken over: then nothing is visible.
        """

    async def close(self) -> None:
        """Let go. An open transaction is aborted. Never raises Fenced."""


class Rebalance(Protocol):
    """Told by a Consumer, in its own `read`, before records of new partitions arrive."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are gone or about to go: finish or drop what is under way for them."""

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """These came (only the new ones). May return offsets to seek to; None: the committed.

        Committed offsets are read after this returns, so a producer that is opened here fences
        the old owner first.
        """


class Consumer(Protocol):
    """A member of a group, or (group None) a reader of partitions named by the caller.

    One caller at a time. Sees committed records only. A partition's records come in order.
    Without a committed offset it begins at the earliest record.
    """

    async def read(self, limit: int, timeout: float) -> list[Record]:
        """Up to `limit` records as soon as there is one; [] after `timeout` seconds.

        Waiting costs next to nothing and wakes up when something was committed. A group's member
        raises RecordsRemoved once for records that were removed in front of it, before it delivers
        any that come after them; the next call goes on with those that are there.
        """

    def assignment(self) -> frozenset[TopicPartition]: ...

    def position(self, partition: TopicPartition) -> int:
        """The offset that would be read next."""

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Deliver nothing of these until `resume`, or until they are assigned anew; membership is
        kept.
        """

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets for the group, outside of any transaction. Group members only.

        Raises Fenced when the partitions went to another member, RetryLater while the group
        shares them anew; nothing is committed then.
        """

    async def close(self) -> None:
        """Leave the group at once, so that others take over without waiting."""


class Log(Protocol):
    """The event log."""

    @property
    def name(self) -> str:
        """For people, without secrets: `sqlite:///var/bridge.db`, `kafka://k1:9092`."""

    @property
    def max_record_bytes(self) -> int:
        """The largest key + value + headers that `append` takes (default 900 kB and some)."""

    async def open(self) -> None:
        """Connect. Raises RetryLater when it is away, ConfigurationError when it is wrong."""

    async def close(self) -> None: ...

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create those that are missing. An existing one with another number of partitions
        than asked for explicitly raises ConfigurationError; other differences are left alone.
        """

    async def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic of the log with its specification, internal ones included."""

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """Append outside of a transaction: all or none, durable when it returns, in order."""

    async def producer(self, transactional_id: str) -> Producer:
        """Take over `transactional_id`: fence its owner, end its open transaction, own it."""

    async def join(
        self,
        group: str,
        topics: Iterable[str],
        rebalance: Rebalance | None = None,
        *,
        session_timeout: float = 10.0,
    ) -> Consumer:
        """Become a member of `group`. Partitions arrive during `read`."""

    async def reader(self, offsets: Mapping[TopicPartition, int]) -> Consumer:
        """Read these partitions from these offsets, without a group."""

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The first offset that may still be there."""

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """One past the last offset that a `read_committed` reader can reach now."""

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        """The first offset with a timestamp >= `timestamp`; the end where there is none."""

    async def groups(self) -> Mapping[str, GroupInfo]: ...

    async def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]: ...

    async def reset_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set a group's offsets by hand. Raises Rejected while the group has live members."""

    async def delete_group(self, group: str) -> None:
        """Forget a group and its offsets; one that isn't there is none. A member that joins later
        begins as that of a new group. Raises Rejected while the group has live members.
        """


@dataclass(frozen=True, slots=True)
class LogFinding:
    """Something that running will fail of; not `fatal`: it works, but. `hint` names the setting."""

    text: str
    hint: str = ""
    fatal: bool = True


@runtime_checkable
class SupportsLogCheck(Protocol):
    """A log that can say beforehand what running will need and lack. Writes nothing that a reader
    would see.
    """

    async def check_servers(self, topics: Sequence[str]) -> list[LogFinding]:
        """Before `open`, which may wait long for what is found here."""

    async def check_needs(self, specs: Sequence[TopicSpec], bridge: str) -> list[LogFinding]:
        """Once open: rights, limits, and whether topics that are missing could be created."""


@dataclass(frozen=True, slots=True)
class Authorizer:
    """`present`: whether the log's servers decide who may do what. `writers`: who may write the
    topic that was asked for, as far as access lists say; None: this user may not ask.
    """

    present: bool
    writers: tuple[str, ...] | None = None


@runtime_checkable
class SupportsAccessLists(Protocol):
    """A log whose servers may decide who writes what."""

    async def authorizer(self, topic: str) -> Authorizer:
        """Whether they do, and who may write the topic. Raises RetryLater, ConfigurationError."""


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema of a registry: its id and its exact text."""

    id: int
    text: str


class Registry(Protocol):
    """Schemas by id and by subject: Confluent-compatible over HTTP, or the embedded one.

    Answers are cached for good: ids never change meaning. Raises RetryLater when it is away,
    Rejected (`incompatible_schema`) with the registry's reason when it refuses a new version.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def register(self, subject: str, text: str) -> int:
        """The id of `text` under `subject`; registers it when it is new there."""

    async def schema(self, schema_id: int) -> str:
        """The text of a schema. Raises KeyError when the id isn't known."""

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest version under `subject`."""

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        """Every version under `subject`, oldest first; empty when there is none."""

    async def set_compatibility(self, subject: str, level: str) -> None:
        """`BACKWARD_TRANSITIVE` and the like, for one subject."""
