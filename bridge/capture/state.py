"""The working state of one connection: the progress emitted so far, and the entities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bridge.capture.checkpoint.record import CheckpointRecord, EntityPause, pause
from bridge.capture.contract import CaptureDependencies
from bridge.capture.entity import CapturedEntity, Incompatible, failure_reason
from bridge.capture.outbox import RecordGroup
from bridge.connector import Shape
from bridge.model.errors import ConfigurationError
from bridge.model.position import parse_position
from bridge.model.system_records import DeadLetter
from bridge.observe import DeadLetterWritten, EntityPaused
from bridge.plan.execute import RowEncoder
from bridge.plan.failed_row import FailedRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class CaptureState:
    """The working state of one connection. Used by one task.
    `progress`: the checkpoint record once everything emitted is in the log.
    `changed`: whether it differs in more than the position.
    `unfit`: entities that were never captured, and why their tables are incompatible; their first
    snapshots, which are still to come, make up for the changes that are skipped meanwhile.
    """

    deps: CaptureDependencies
    progress: CheckpointRecord
    entities: dict[str, CapturedEntity]
    changed: bool = False
    by_table: dict[str, list[CapturedEntity]] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entity in self.entities.values():
            self.by_table.setdefault(entity.spec.table, []).append(entity)

    def become(self, progress: CheckpointRecord) -> None:
        """Continue from `progress`, which must be written soon."""
        self.progress = progress
        self.changed = True

    def move(self, position: str) -> None:
        """Everything up to `position` was emitted."""
        if position > self.progress.position:
            self.progress = replace(self.progress, position=position)

    async def encoder(
        self, entity: CapturedEntity, shape: Shape, group: RecordGroup
    ) -> RowEncoder | None:
        """The encoder for rows of a shape; None if the entity is paused (now or before) or unfit."""
        name = entity.spec.name
        if name in self.progress.paused:
            return None
        encoder = entity.encoder(shape)
        if encoder is not None:
            return encoder
        try:
            encoder = await entity.adapt(shape)
        except (Incompatible, ConfigurationError) as error:
            first = entity.type is None and not isinstance(error, Incompatible)
            if first and self._has_full_snapshot_ahead(name):
                self.unfit[name] = str(error)
            else:
                self.pause(entity, str(error), group)
            return None
        self.unfit.pop(name, None)
        return encoder

    def _has_full_snapshot_ahead(self, name: str) -> bool:
        return any(
            job.entity == name and job.where is None and not job.deletes_only
            for job in self.progress.jobs
        )

    def pause(self, entity: CapturedEntity, reason: str, group: RecordGroup) -> None:
        """Pause only this entity; the reason also says how to resume it."""
        group.notices.append(self.paused(entity, reason))

    def paused(self, entity: CapturedEntity, reason: str) -> EntityPaused:
        """As `pause`, but outside of a group: returns the notice for the observer."""
        reason = (
            f"{reason}. Once that is fixed: bridgectl snapshot {entity.spec.qualified} --resume"
        )
        why = EntityPause(reason, self.progress.position, self.deps.clock())
        self.become(pause(self.progress, entity.spec.name, why))
        return EntityPaused(entity.spec.qualified, reason)

    def dead_letter(
        self,
        entity: CapturedEntity,
        encoder: RowEncoder,
        failures: Iterable[FailedRow],
        group: RecordGroup,
    ) -> None:
        """Write dead letters for changes that became no event: one for each key that a change
        touched, because each of these keys may be wrong in the log now.
        """
        at = _EPOCH + timedelta(microseconds=self.deps.clock())
        for failure in failures:
            letter = DeadLetter(
                kind="record" if failure.kind == "record" else "row",
                source=entity.spec.qualified,
                reason=failure_reason(failure),
                at=at,
                error=type(failure.error).__name__,
                raw=_raw_text(encoder, failure),
            )
            keys = encoder.change_keys(failure.change)
            for position, key in zip(_positions(failure, len(keys)), keys, strict=True):
                self._add_letter(replace(letter, position=position, key=key), group)

    def _add_letter(self, letter: DeadLetter, group: RecordGroup) -> None:
        dead = self.deps.dead
        entry = dead.letter(letter, min(self.deps.max_record_bytes, self.deps.log.max_record_bytes))
        group.add(dead.topic("dead"), [entry])
        group.size += len(entry.value or b"")
        group.dead += 1
        show = f"bridgectl dead show {letter.position}"
        group.notices.append(
            DeadLetterWritten(
                letter.kind, letter.source, letter.reason, entity=letter.source, show=show
            )
        )


def _positions(failure: FailedRow, count: int) -> list[str]:
    """The positions of a change's letters: of a changed key those that its delete and its create would
    have had.
    """
    begin = parse_position(failure.position)
    return [str(begin._replace(number=begin.number + half)) for half in range(count)]


def _raw_text(encoder: RowEncoder, failure: FailedRow) -> str | None:
    """The row's content as JSON text; None if it can't be shown, which must not prevent the
    letter.
    """
    try:
        return encoder.raw_text(failure.change)
    except Exception:  # noqa: BLE001 - a row so odd that nobody can show it is still a letter
        return None
