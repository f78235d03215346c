"""What the follower of one system applies: changes to the cache, failures and capture's own records to
the doubts, checkpoints to the barriers. No I/O but in `prepare`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from bridge.gateway.audit.change_watches import ChangeWatches
from bridge.gateway.audit.verdict import ChangeSince
from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.copy.change_records import AppliedChange, ChangeRecords, UnappliedRecord
from bridge.gateway.copy.system_topics import CopyTopics
from bridge.gateway.freshness.barriers import BarrierTracker, WatermarkRequest
from bridge.gateway.freshness.capture_doubts import SupportsCheckpoint
from bridge.gateway.freshness.doubts import CAPTURES_LETTERS, Doubts, key_bytes
from bridge.log.port import Gap, Record, TopicPartition
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord
from bridge.model.error_text import describe_error
from bridge.model.framing import header
from bridge.model.freshness import NEVER
from bridge.model.position import ZERO
from bridge.model.system_records import DeadLetter


class SupportsBarrier(Protocol):
    """Of a barrier's record."""

    @property
    def epoch(self) -> int: ...
    @property
    def position(self) -> str: ...
    @property
    def answered(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class CaptureRecords:
    """How capture's own records are read; each raises an Exception for bytes that are none.

    checkpoint: of the value under the system's name in the positions.
    barrier_key: of the barriers' records in there. barrier: of their values.
    troubles: of the value under the system's name in the status topic: bare names of entities that
    can't be captured now, and why.
    """

    checkpoint: Callable[[bytes], SupportsCheckpoint]
    barrier_key: bytes
    barrier: Callable[[bytes], SupportsBarrier]
    troubles: Callable[[bytes], Mapping[str, str]]


class ReportsRecord(Protocol):
    """Called with each record that could not be applied."""

    def __call__(self, record: Record, reason: str) -> None:
        """`reason`: a sentence."""


class AppliedLog:
    """Implements `AppliesRecords`. Used by one task, and by none that waits in between.

    system: its name.
    topics, partitions: what is followed.
    report: records of other writers, or of other versions.
    room: waits until so many more transactions may be applied (`CacheState.is_full`).
    checkpoint_read: called with what to take once a barrier's record was read.
    changed: called whenever something may be claimed now, or no longer.
    wall_clock: seconds since 1970 at zero of the clock of reads.
    watches: rows whose changes somebody collects.
    claims_deletes: whether the source emits deletes as they happen; otherwise nothing is claimed.
    """

    def __init__(
        self,
        system: str,
        topics: CopyTopics,
        partitions: frozenset[TopicPartition],
        *,
        cache: CacheState,
        tracker: BarrierTracker,
        doubts: Doubts,
        changes: ChangeRecords,
        codec: SystemTopicCodec,
        capture: CaptureRecords,
        report: ReportsRecord,
        room: Callable[[int], Awaitable[None]],
        checkpoint_read: Callable[[WatermarkRequest], None],
        changed: Callable[[], None],
        wall_clock: Callable[[], float],
        watches: ChangeWatches,
        claims_deletes: bool,
    ) -> None:
        self.applied = 0
        #: Whether a partition is read that wasn't there at the beginning.
        self.has_grown = False
        #: Why nothing is claimed at all; empty: nothing of the kind.
        self.distrust = ""
        #: How many of capture's own records were read.
        self.heard = 0
        self._system = system
        self._topics = topics
        self._partitions = partitions
        self._cache = cache
        self._tracker = tracker
        self._doubts = doubts
        self._changes = changes
        self._codec = codec
        self._capture = capture
        self._report = report
        self._room = room
        self._checkpoint_read = checkpoint_read
        self._changed = changed
        self._wall_clock = wall_clock
        self._watches = watches
        self._limits = {} if claims_deletes else dict.fromkeys(topics.changes.values(), NEVER)
        self._letters: dict[tuple[int, int], DeadLetter | str] = {}
        self._epoch: int | None = None

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetch schemas, decode dead letters, and wait for room."""
        changes = [record for record in records if record.topic in self._topics.changes]
        await self._changes.learn(changes)
        self._letters.clear()
        for record in records:
            if record.topic == self._topics.dead and record.value is not None:
                self._letters[record.partition, record.offset] = await self._letter(record)
        if changes:
            await self._room(len(changes))

    def apply(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """As AppliesRecords."""
        topic = partition.topic
        entity = self._topics.changes.get(topic)
        if entity is not None:
            self._apply_changes(entity, records)
        elif topic == self._topics.positions:
            for record in records:
                self._apply_positions(record)
        elif topic == self._topics.status:
            for record in records:
                self._apply_status(record)
        else:
            for record in records:
                self._apply_letter(record)

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """As AppliesRecords."""
        self.has_grown = self.has_grown or not self._partitions.issuperset(positions)
        self._tracker.reach(positions)
        self._changed()

    def doubt(self, partition: TopicPartition, gap: Gap) -> None:
        """What is held of the partition's entity goes: of the missing records nobody knows whose they
        were. Rows that are read from now on are right, and proved by the next barrier.
        """
        entity = self._topics.changes.get(partition.topic)
        for name in self._topics.changes.values():
            if entity is None or name == entity:
                self._forget(name, f"records of {partition.topic} are missing")
        self._tracker.restart([partition])
        self._tracker.reach({partition: gap.begin})
        if partition.topic in {self._topics.positions, self._topics.status}:
            self._distrust_all(f"records of {partition.topic} are missing")
        self._changed()

    def _apply_changes(self, entity: str, records: Sequence[Record]) -> None:
        wall_clock = self._wall_clock()
        for record in records:
            if self._changes.is_new_form(entity, record):
                # What is held has other fields than a read would bring.
                self._forget(entity, "its rows have another form from now on")
            try:
                applied = self._changes.read(entity, record, wall_clock)
            except UnappliedRecord as error:
                self._distrust(entity, record, error)
                continue
            if applied is None:
                continue
            change = applied.change
            self._cache.apply(change)
            self._doubts.apply_row(entity, change.key, applied.position, is_whole=change.whole)
            self.applied += 1
            if self._watches:
                self._note(applied)

    def _distrust(self, entity: str, record: Record, error: UnappliedRecord) -> None:
        """It may be a change that an other version wrote: its row is in doubt until the next whole row;
        without a key, all rows are until the entity was compared with its table.
        """
        self._report(record, str(error))
        letter = DeadLetter(
            kind="record",
            source=f"{self._system}.{entity}",
            reason=str(error),
            at=datetime.now(UTC),
            position=ZERO,
            key=None if error.key is None else header(0) + error.key,
        )
        self._doubt_row(entity, letter)

    def _doubt_row(self, entity: str, letter: DeadLetter) -> None:
        self._doubts.read_dead_letter(letter)
        if letter.key is None:
            self._forget(entity, "a change of an unknown row is missing")
        else:
            # A row in somebody's hand keeps the claim that it has now.
            key = key_bytes(letter.key)
            self._cache.drop(entity, key)
            self._watches.spoil("a change of the row is missing", entity, key)

    def _forget(self, entity: str, reason: str) -> None:
        """Hold nothing that was read of it before."""
        self._cache.epoch(entity)
        self._watches.spoil(reason, entity)

    def _note(self, applied: AppliedChange) -> None:
        change = applied.change
        since = ChangeSince(change.payload, change.whole, applied.position, applied.committed_at)
        self._watches.note(change.entity, change.key, since)

    async def _letter(self, record: Record) -> DeadLetter | str:
        """The letter; a text: why it can't be read."""
        assert record.value is not None  # noqa: S101
        try:
            letter = await self._codec.decode("dead", record.value)
        except UnreadableRecord as error:
            return str(error)
        return letter if isinstance(letter, DeadLetter) else "it is no dead letter"

    def _apply_letter(self, record: Record) -> None:
        letter = self._letters.pop((record.partition, record.offset), None)
        if isinstance(letter, str):
            letter = self._unreadable_letter(record, letter)
        if letter is None:
            return
        system, _, entity = letter.source.partition(".")
        is_ours = system == self._system and entity in self._topics.changes.values()
        if is_ours and letter.kind in CAPTURES_LETTERS:
            self._doubt_row(entity, letter)

    def _unreadable_letter(self, record: Record, reason: str) -> DeadLetter | None:
        """A letter of an other version: its key says which entity it is about. Without a readable key it
        is none of a bridge's, since keys never change.
        """
        self._report(record, reason)
        try:
            source = str(self._codec.decode_key("dead", record.key or b""))
        except UnreadableRecord:
            return None
        return DeadLetter(kind="row", source=source, reason=reason, at=datetime.now(UTC))

    def _apply_positions(self, record: Record) -> None:
        if record.key == self._capture.barrier_key:
            self._apply_barrier(record)
        elif record.key == self._system.encode():
            self._apply_checkpoint(record)

    def _apply_barrier(self, record: Record) -> None:
        if record.value is None:
            return
        try:
            barrier = self._capture.barrier(record.value)
        except Exception as error:  # noqa: BLE001 - anybody may have written it
            self._report(record, describe_error(error))
            return
        self.heard += 1
        for name in barrier.answered:
            request = self._tracker.read_checkpoint(
                name, barrier.epoch, barrier.position, self._limits
            )
            if request is not None:
                self._checkpoint_read(request)

    def _apply_checkpoint(self, record: Record) -> None:
        try:
            checkpoint = self._capture.checkpoint(record.value or b"")
            ended = self._doubts.read_checkpoint(checkpoint)
        except Exception as error:  # noqa: BLE001 - anybody may have written it
            reason = describe_error(error)
            self._report(record, reason)
            self._distrust_all(reason)
            return
        self.heard += 1
        if self.distrust:
            self.distrust = ""
            ended = frozenset(self._topics.changes.values())
        if self._epoch is not None and checkpoint.epoch != self._epoch:
            ended = frozenset(self._topics.changes.values())
        self._epoch = checkpoint.epoch
        self._end_doubts(ended)
        self._tracker.read_checkpoint("", checkpoint.epoch, checkpoint.position)

    def _apply_status(self, record: Record) -> None:
        if record.key != self._system.encode() or record.value is None:
            return
        try:
            troubles = self._capture.troubles(record.value)
        except Exception as error:  # noqa: BLE001 - anybody may have written it
            self._report(record, describe_error(error))
            return
        self._end_doubts(self._doubts.read_status(troubles))

    def _end_doubts(self, ended: frozenset[str]) -> None:
        """What was read while they were in doubt may miss what capture skipped meanwhile."""
        for entity in ended:
            self._forget(entity, "changes may have been left out until now")
        self._tracker.forget(ended)

    def _distrust_all(self, reason: str) -> None:
        self.distrust = reason
        self._tracker.forget(frozenset(self._topics.changes.values()))
