"""Applies records to the file of a view: rows, offsets, doubts. Without asyncio.

Used by one thread at a time. What readers see (`published`) changes as a whole, after each commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from bridge.gateway.freshness.capture_doubts import SupportsCheckpoint
from bridge.gateway.freshness.doubts import Doubts
from bridge.gateway.view.pending_writes import PendingWrites
from bridge.gateway.view.row_parts import ChangeParts
from bridge.gateway.view.view_records import UnreadableRow, ViewRecords
from bridge.gateway.view.view_state import LastRecord, UnresolvedLetter, ViewState, last_record
from bridge.gateway.view.view_store import ViewStore
from bridge.log.port import Record, TopicPartition
from bridge.model.framing import header
from bridge.model.freshness import NO_POSITION
from bridge.model.position import ZERO
from bridge.model.system_records import DeadLetter


class PublishedEntity(NamedTuple):
    """reasons: why nothing is claimed of the entity; empty: something is. doubtful: keys of rows of
    which the legacy system has to be asked.
    """

    reasons: tuple[str, ...]
    doubtful: frozenset[bytes]


class PublishedState(NamedTuple):
    """What readers may say: everything up to `position` is in, and what is in doubt."""

    epoch: int
    position: str
    entities: Mapping[str, PublishedEntity]


class ViewChange(NamedTuple):
    """A change of a record. parts: None: the record can't be read (`reason`), only its key."""

    entity: str
    key: bytes | None
    parts: ChangeParts | None
    partition: TopicPartition
    offset: int
    reason: str = ""


@dataclass(slots=True)
class ReadBatch:
    """What was read and is to be applied together.

    changes: (bare entity name, records of one partition).
    letters: dead letters.
    offsets: the next record of each partition once this is applied.
    """

    changes: list[tuple[str, Sequence[Record]]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


class ViewApplier:
    """Applies to `store`, beginning with `state`.

    doubts: of the entities, as of what was applied.
    report: records that can't be read.
    now_ms: milliseconds since 1970.
    """

    def __init__(
        self,
        system: str,
        store: ViewStore,
        state: ViewState,
        records: ViewRecords,
        *,
        doubts: Doubts,
        pending: PendingWrites,
        boot: str,
        report: Callable[[str], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.state = replace(state, boot=boot)
        self.applied = 0
        self.published = PublishedState(0, NO_POSITION, {})
        #: Rows may show changes up to here; set before they are committed.
        self.shown_position = NO_POSITION
        self._system = system
        self._store = store
        self._records = records
        self._doubts = doubts
        self._pending = pending
        self._report = report
        self._now_ms = now_ms
        self._last: dict[TopicPartition, LastRecord] = dict(state.last)
        for letter in state.letters:
            key = None if letter.key is None else bytes.fromhex(letter.key)
            self._doubt(letter.entity, key, letter.position)

    def load(self, batch: ReadBatch, *, is_new: bool) -> None:
        """Apply a batch that nobody reads yet. is_new: the file isn't complete, and is made again if
        this fails. Raises sqlite3.Error, DamagedFile.
        """
        self.read_letters(batch.letters)
        for entity, records in batch.changes:
            for record in records:
                change = self.change(entity, record)
                if change is not None:
                    self._apply(change)
        if is_new:
            self.state = replace(self.state, offsets=dict(batch.offsets))
            self._store.load(self._pending.take(), self._records.texts)
        else:
            self._publish(batch.offsets)

    def finish(self) -> None:
        """The rows are in. Raises sqlite3.Error."""
        self.state = self._next_state(self.state.offsets)
        self._store.finish(self.state)

    def publish(
        self,
        changes: Iterable[ViewChange],
        offsets: Mapping[TopicPartition, int],
        epoch: int,
        position: str,
    ) -> None:
        """Apply changes, and let readers see what is true at `position`. Raises sqlite3.Error,
        DamagedFile: then nothing of it is seen.
        """
        for change in changes:
            self._apply(change)
        self.state = replace(self.state, epoch=epoch, position=position)
        self.shown_position = position
        self._publish(offsets)
        self.published = PublishedState(epoch, position, self._published_entities())

    def read_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Dead letters of this system's entities. Raises sqlite3.Error, DamagedFile."""
        for letter in letters:
            entity = letter.source.partition(".")[2]
            held = NO_POSITION
            if letter.key is not None:
                row = self._store.held(entity, letter.key[len(header(0)) :])
                # A row that isn't known was never whole.
                held = row.position if row is not None and row.row else NO_POSITION
            self._doubts.read_dead_letter(letter, held)

    def read_capture(self, records: Iterable[SupportsCheckpoint | Mapping[str, str]]) -> None:
        """Checkpoints, and what a status record says of entities that can't be captured, in the order
        of their partitions.
        """
        for record in records:
            if isinstance(record, Mapping):
                self._doubts.read_status(record)
            else:
                self._doubts.read_checkpoint(record)

    def change(self, entity: str, record: Record) -> ViewChange | None:
        """The change of a record whose schema was learned; None for a tombstone."""
        partition = TopicPartition(record[0], record[1])
        try:
            parts = self._records.change(entity, record)
        except UnreadableRow as error:
            self._report(str(error))
            return ViewChange(entity, error.key, None, partition, record[2], str(error))
        return None if parts is None else ViewChange(entity, *parts, partition, record[2])

    def note_last(self, partition: TopicPartition, record: Record) -> None:
        """The last record that was read of a partition."""
        self._last[partition] = last_record(record)

    def _apply(self, change: ViewChange) -> None:
        entity, key, parts = change[:3]
        self.applied += 1
        if key is None:
            self._doubt(entity, None, "")
        elif parts is None:
            self._pending.mark_unknown(entity, key, ZERO)
        else:
            self._pending.add(entity, key, parts, self._records.layouts[entity])
            self._doubts.apply_row(entity, key, parts.position, is_whole=not parts.missing)

    def _doubt(self, entity: str, key: bytes | None, position: str) -> None:
        letter = DeadLetter(
            kind="record",
            source=f"{self._system}.{entity}",
            reason="it can't be read",
            at=datetime.now(UTC),
            position=position or None,
            key=None if key is None else header(0) + key,
        )
        self._doubts.read_dead_letter(letter)

    def _publish(self, offsets: Mapping[TopicPartition, int]) -> None:
        state = self._next_state(offsets)
        self._store.publish(self._pending.take(), self._records.texts, state)
        self.state = state

    def _next_state(self, offsets: Mapping[TopicPartition, int]) -> ViewState:
        return replace(
            self.state,
            complete=True,
            written_at=self._now_ms(),
            offsets=dict(offsets),
            last=dict(self._last),
            letters=tuple(
                UnresolvedLetter(entity, None if key is None else key.hex(), position)
                for entity, key, position in self._doubts.unresolved()
            ),
        )

    def _published_entities(self) -> dict[str, PublishedEntity]:
        doubtful: dict[str, set[bytes]] = {}
        for entity, key, _ in self._doubts.unresolved():
            if key is not None:
                doubtful.setdefault(entity, set()).add(key)
        return {
            entity: PublishedEntity(
                self._doubts.reasons(entity), frozenset(doubtful.get(entity, ()))
            )
            for entity in self._records.layouts
        }
