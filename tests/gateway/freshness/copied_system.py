"""A legacy system, its capture, the log and a follower's copy, one small step at a time.

The source commits in another order than its log has; log transactions are committed partition by
partition; everything lags. What was committed is kept in a list of its own, and `check` compares the
claims with it: that list knows nothing of barriers, offsets or doubts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

from bridge.capture.checkpoint.record import (
    CheckpointRecord,
    EntityPause,
    SnapshotJob,
    SnapshotResult,
)
from bridge.gateway.freshness.barriers import Barrier, BarrierTracker, BarrierWait, WatermarkRequest
from bridge.gateway.freshness.doubts import Doubts
from bridge.log.port import TopicPartition
from bridge.model.framing import header
from bridge.model.freshness import NEVER
from bridge.model.position import format_position, parse_position
from bridge.model.system_records import DeadLetter

READER_OFFSET, SOURCE_OFFSET = 1_000.0, 400.0
TICK_S: Final = 1 / 128
"""Between two steps. A power of two, so that sums are exact."""
PARTITIONS: Final = {
    "order": (TopicPartition("order", 0), TopicPartition("order", 1)),
    "line": (TopicPartition("line", 0),),
}
DEAD, POSITIONS = TopicPartition("dead", 0), TopicPartition("positions", 0)
KEYS: Final = (b"a", b"b", b"c")
ROWS: Final = [(entity, key) for entity in PARTITIONS for key in KEYS]
Kind = Literal["whole", "partial", "dead", "keyless", "truncate"]


@dataclass(slots=True)
class Commit:
    """One change of the source's log, and when its transaction could be seen by others."""

    index: int
    kind: Kind
    entity: str
    keys: tuple[bytes, ...]
    seen_at: float | None = None


@dataclass(slots=True)
class CopiedRow:
    """The changes that the copy of a row contains: all up to `whole`, and these partial ones."""

    whole: int = -1
    parts: set[int] = field(default_factory=set)

    def contains(self, index: int) -> bool:
        return index <= self.whole or index in self.parts


@dataclass(slots=True)
class LogPartition:
    """Its records; `stable`: those before it can be read."""

    records: list[object] = field(default_factory=list)
    stable: int = 0


@dataclass(frozen=True, slots=True)
class RowRecord:
    entity: str
    key: bytes
    index: int
    position: str
    is_whole: bool


def partition_of(entity: str, key: bytes) -> TopicPartition:
    partitions = PARTITIONS[entity]
    return partitions[key[0] % len(partitions)]


class CopiedSystem:
    """`tracker` and `doubts` are what is tested; the rest is what surrounds it."""

    def __init__(
        self,
        tracker: Callable[[], BarrierTracker] = lambda: BarrierTracker(
            "erp", "me", PARTITIONS, [DEAD]
        ),
        doubts: Callable[[], Doubts] = lambda: Doubts("erp", PARTITIONS),
    ) -> None:
        self.now = 0.0
        self.tracker, self.doubts = tracker(), doubts()
        self.source: list[Commit | str] = []
        self.captured = 0
        self.partitions = {
            each: LogPartition()
            for each in (*PARTITIONS["order"], *PARTITIONS["line"], DEAD, POSITIONS)
        }
        self.unmarked: list[TopicPartition] = []
        self.copy = {row: CopiedRow() for row in ROWS}
        self.held = dict.fromkeys(ROWS, "")
        self.followed = dict.fromkeys(self.partitions, 0)
        self.unwritten: Barrier | None = None
        self.request: WatermarkRequest | None = None
        self.waits: list[tuple[BarrierWait, float]] = []
        taken = dict.fromkeys(PARTITIONS, format_position(1, 0, 0))
        self.progress = CheckpointRecord(epoch=1, taken=taken)
        self.serial = 0
        self.claimed = 0
        self._write({}, [])

    @property
    def reader_now(self) -> float:
        return self.now + READER_OFFSET

    def position(self, index: int) -> str:
        return format_position(self.progress.epoch, index + 1, 0)

    # -- the source --------------------------------------------------------------------------

    def tick(self) -> None:
        self.now += TICK_S

    def append(self, kind: Kind, entity: str, key: bytes) -> None:
        """A transaction is in the source's log; whether others see it is another matter."""
        keys = KEYS if kind in {"truncate", "keyless"} else (key,)
        self.source.append(
            Commit(len(self.source), kind, entity, keys if kind == "truncate" else (key,))
        )

    def show(self, newest_first: bool) -> None:
        """A transaction becomes visible, perhaps before an earlier one of the source's log."""
        hidden = [each for each in self.commits() if each.seen_at is None]
        if hidden:
            hidden[-1 if newest_first else 0].seen_at = self.now

    def commits(self) -> list[Commit]:
        return [each for each in self.source if isinstance(each, Commit)]

    # -- capture -----------------------------------------------------------------------------

    def capture(self, count: int) -> None:
        """Write the next changes in one log transaction, which is not committed yet."""
        batch = self.source[self.captured : self.captured + count]
        if self.unmarked or not batch:
            return
        self.captured += len(batch)
        entries: dict[TopicPartition, list[object]] = {}
        for change in batch:
            if isinstance(change, Commit):
                self._capture_change(change, entries)
        position = self.position(self.captured - 1)
        self.progress = replace(
            self.progress, position=position, at=int((self.now + SOURCE_OFFSET) / TICK_S)
        )
        self._write(entries, [each for each in batch if isinstance(each, str)])

    def _capture_change(self, change: Commit, entries: dict[TopicPartition, list[object]]) -> None:
        entity, key, position = change.entity, change.keys[0], self.position(change.index)
        pause = self.progress.paused.get(entity)
        if pause is not None:
            paused = {**self.progress.paused, entity: replace(pause, skipped=pause.skipped + 1)}
            self.progress = replace(self.progress, paused=paused)
        elif change.kind == "truncate":
            self._request("truncate", entity)
        elif change.kind in {"dead", "keyless"}:
            letter = DeadLetter(
                kind="row",
                source=f"erp.{entity}",
                reason="no number",
                at=datetime(2026, 1, 1, tzinfo=UTC),
                position=position,
                key=header(1) + key if change.kind == "dead" else None,
            )
            entries.setdefault(DEAD, []).append(letter)
        else:
            record = RowRecord(entity, key, change.index, position, change.kind == "whole")
            entries.setdefault(partition_of(entity, key), []).append(record)

    def _request(self, prefix: str, entity: str) -> None:
        self.serial += 1
        job = SnapshotJob(f"{prefix}-{self.serial}", entity, reconcile=True)
        others = tuple(each for each in self.progress.jobs if each.entity != entity)
        self.progress = replace(self.progress, jobs=(*others, job))

    def compare(self) -> None:
        """Finish the first job. Only while nothing is captured meanwhile; windows are not tested here."""
        pending = any(each.seen_at is None for each in self.commits())
        if self.unmarked or pending or self.captured < len(self.source) or not self.progress.jobs:
            return
        job, *others = self.progress.jobs
        # A watermark of its own is where the rows stand in the source's history.
        self.source.append("high")
        self.captured = len(self.source)
        index = len(self.source) - 1
        position = self.position(index)
        entries: dict[TopicPartition, list[object]] = {}
        for key in KEYS:
            record = RowRecord(job.entity, key, index, position, is_whole=True)
            entries.setdefault(partition_of(job.entity, key), []).append(record)
        result = SnapshotResult(job.id, job.entity, 3, 0, position, 0)
        self.progress = replace(
            self.progress,
            jobs=tuple(others),
            position=position,
            taken={**self.progress.taken, job.entity: position},
            results=(*self.progress.results, result)[-20:],
        )
        self._write(entries, [])

    def pause(self, entity: str) -> None:
        """Or resume it, with a comparison."""
        if self.unmarked:
            return
        paused = dict(self.progress.paused)
        if paused.pop(entity, None) is None:
            paused[entity] = EntityPause("a column is missing", self.progress.position, 0)
        else:
            self._request("resume", entity)
        self.progress = replace(self.progress, paused=paused)
        self._write({}, [])

    def lose(self) -> None:
        """The source's history is lost, and a person accepts it: what was not captured never is."""
        if self.unmarked or self.progress.epoch > 5:
            return
        self.captured = len(self.source)
        self.progress = replace(self.progress, epoch=self.progress.epoch + 1, paused={})
        for entity in PARTITIONS:
            self._request("accepted", entity)
        self._write({}, [])

    def _write(self, entries: dict[TopicPartition, list[object]], barriers: list[str]) -> None:
        small = [(each, self.progress) for each in barriers]
        entries[POSITIONS] = [("", self.progress), *small]
        for partition, records in entries.items():
            self.partitions[partition].records.extend(records)
            self.unmarked.append(partition)

    def mark(self, first: bool) -> None:
        """The commit marker reaches one partition of the log transaction."""
        if self.unmarked:
            partition = self.partitions[self.unmarked.pop(-1 if first else 0)]
            partition.records.append(None)
            partition.stable = len(partition.records)

    # -- the reader --------------------------------------------------------------------------

    def wait(self, entity: str) -> None:
        self.waits.append((self.tracker.wait(entity), self.reader_now))

    def begin(self) -> None:
        barrier = self.tracker.begin(self.reader_now)
        if barrier is not None:
            self.unwritten = barrier

    def write_barrier(self) -> None:
        if self.unwritten is not None:
            self.source.append(self.unwritten.name)
            self.unwritten = None

    def read_positions(self) -> None:
        """Read one record of the positions topic."""
        topic, offset = self.partitions[POSITIONS], self.followed[POSITIONS]
        if offset >= topic.stable:
            return
        self.followed[POSITIONS] += 1
        match topic.records[offset]:
            case ("", CheckpointRecord() as record):
                self.forget(self.doubts.read_checkpoint(record))
                self.tracker.read_checkpoint("", record.epoch, record.position)
            case (str() as name, CheckpointRecord() as record):
                request = self.tracker.read_checkpoint(name, record.epoch, record.position)
                self.request = request or self.request

    def forget(self, entities: frozenset[str]) -> None:
        self.tracker.forget(entities)

    def take_watermarks(self) -> None:
        if self.request is not None:
            self.tracker.set_high_watermarks(self.request, self.high_watermarks())
            self.request = None

    def high_watermarks(self) -> dict[TopicPartition, int]:
        return {each: len(log.records) for each, log in self.partitions.items()}

    def follow(self, partition: TopicPartition) -> None:
        """The follower applies one record."""
        log, offset = self.partitions[partition], self.followed[partition]
        if offset >= log.stable:
            return
        match log.records[offset]:
            case RowRecord(entity, key, index, position, is_whole):
                row = self.copy[entity, key]
                if is_whole:
                    row.whole, self.held[entity, key] = index, position
                else:
                    row.parts.add(index)
                self.doubts.apply_row(entity, key, position, is_whole=is_whole)
            case DeadLetter() as letter:
                row_key = (letter.source.partition(".")[2], (letter.key or b"")[5:])
                self.doubts.read_dead_letter(letter, self.held.get(row_key, ""))
        self.followed[partition] = offset + 1
        self.tracker.reach({partition: offset + 1})

    def restart(self, partition: TopicPartition) -> None:
        """The follower's copy of a partition is gone; it begins again."""
        self.followed[partition] = 0
        for row in ROWS:
            if partition_of(*row) == partition:
                self.copy[row], self.held[row] = CopiedRow(), ""
        self.tracker.restart([partition])

    # -- the truth ---------------------------------------------------------------------------

    def check(self) -> None:
        """No claim is later than the truth, and who waited got what it waited for."""
        for entity, key in ROWS:
            proved = self.tracker.claim(entity)
            claim = self.doubts.claim(entity, proved, key)
            if claim is None or claim.as_of == NEVER:
                continue
            last_index = parse_position(claim.position).commit - 1
            self.claimed += 1
            assert claim.as_of <= self.reader_now
            for commit in self.commits():
                if commit.entity == entity and key in commit.keys:
                    seen_at = self.now if commit.seen_at is None else commit.seen_at
                    is_claimed = seen_at + READER_OFFSET < claim.as_of or commit.index <= last_index
                    assert not is_claimed or self.copy[entity, key].contains(commit.index)
            for wait, asked_at in self.waits:
                if wait.entity == entity and self.tracker.has_passed(wait):
                    assert claim.as_of >= asked_at
