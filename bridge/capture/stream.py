"""Turns the batches of a source into groups of records, in the source's order.

At a watermark a chunk's rows are inserted. What isn't committed when the connection or the log
fails is forgotten here and read again from the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from bridge.capture.barriers.record import combine
from bridge.capture.barriers.writer import BarrierWriter
from bridge.capture.checkpoint.record import skip
from bridge.capture.entity import CapturedEntity, keys_of, touched
from bridge.capture.outbox import RecordGroup
from bridge.capture.report.confirmations import confirmations
from bridge.capture.snapshot.runner import SnapshotRunner
from bridge.capture.state import CaptureState
from bridge.connector import Batch, Change, Shape, SourceTransaction, Truncate, Watermark
from bridge.log.port import Entry
from bridge.model.position import MAX_NUMBER, format_position


class ChangeStream:
    """The changes of one connection. Used by one task."""

    def __init__(self, state: CaptureState, jobs: SnapshotRunner, barriers: BarrierWriter) -> None:
        self._state = state
        self._jobs = jobs
        self._barriers = barriers

    async def group(self, batch: Batch) -> RecordGroup:
        """The records of a batch, with the progress that holds once they are in the log."""
        state = self._state
        group = RecordGroup(state.progress)
        # A TRUNCATE is assumed to be before a watermark at the same position: that drops a chunk
        # that may have been read before it, and at worst reads it again.
        cuts: list[Truncate | Watermark] = [*batch.truncates, *batch.watermarks]
        cuts.sort(key=lambda cut: cut.at)
        start = 0
        for cut in cuts:
            await self._changes(batch.changes[start : cut.at], group)
            start = cut.at
            if isinstance(cut, Watermark):
                await self._watermark(cut, batch.polls, group)
            else:
                self._jobs.automatic.on_truncate(cut, group)
        await self._changes(batch.changes[start:] if start else batch.changes, group)
        self._jobs.note_polls(batch.polls)
        for stale in batch.stale:
            self._jobs.automatic.on_stale(stale, group)
        if batch.commit:
            state.move(format_position(state.progress.epoch, batch.commit, MAX_NUMBER))
        epoch, position = state.progress.epoch, state.progress.position
        barrier = self._barriers.note_polls(batch.polls, epoch, position)
        group.barrier = combine(group.barrier, barrier)
        state.progress = replace(state.progress, checkpoint=batch.checkpoint, at=state.deps.clock())
        group.progress = state.progress
        group.ack = batch.checkpoint
        return group

    async def _watermark(self, watermark: Watermark, polls: int, group: RecordGroup) -> None:
        """A chunk's watermark, or a barrier's, after the changes before it."""
        state, name, commit = self._state, watermark.name, watermark.commit
        is_barrier = self._barriers.is_outstanding(name)
        if not commit and not is_barrier:
            # A barrier's number could be given to a change again: no checkpoint is written with it.
            commit = self._counted()
        if commit:
            state.move(format_position(state.progress.epoch, commit, MAX_NUMBER))
        if not is_barrier:
            await self._jobs.pass_watermark(name, commit, group)
            return
        epoch, position = state.progress.epoch, state.progress.position
        barrier = self._barriers.pass_watermark(name, epoch, position, polls)
        group.barrier = combine(group.barrier, barrier)

    async def _changes(self, changes: Sequence[Change], group: RecordGroup) -> None:
        """Add changes without a watermark between them; in order per table."""
        if not changes:
            return
        if not changes[0][6][1]:
            changes = self._numbered(changes)
        for shape, bucket in _by_shape(changes):
            for entity in self._state.by_table.get(shape.table, ()):
                await self._bucket(entity, shape, bucket, group)
            self._jobs.note_streamed(shape.table, bucket)
        last = changes[-1]
        self._state.move(format_position(self._state.progress.epoch, last[6][1], 2 * last[5] + 1))
        group.newest = last[6][2] or group.newest

    async def _bucket(
        self, entity: CapturedEntity, shape: Shape, changes: Sequence[Change], group: RecordGroup
    ) -> None:
        state, name = self._state, entity.spec.name
        encoder = await state.encoder(entity, shape, group)
        if encoder is None:
            if name in state.unfit:
                self._jobs.postpone_unfit(name)
            else:
                state.progress = skip(state.progress, name, len(changes))
            return
        entries: list[Entry] = []
        failures = encoder.changes(changes, state.progress.epoch, state.deps.clock(), entries)
        if failures:
            state.dead_letter(entity, encoder, failures, group)
        group.add(entity.topic, entries)
        group.count(entity.spec.qualified, len(changes) - len(failures))
        group.size += sum([len(entry[1] or b"") for entry in entries])
        group.notices += confirmations(changes, entries)
        if self._jobs.is_under_way(name):
            self._jobs.note_changes(touched(encoder, changes, entries), keys_of(encoder, failures))

    def _numbered(self, changes: Sequence[Change]) -> list[Change]:
        """Changes of a source without order, each with a commit position counted by capture."""
        numbered = []
        for change in changes:
            name, _, at, visibility = change[6]
            numbered.append(
                change._replace(
                    index=0, transaction=SourceTransaction(name, self._counted(), at, visibility)
                )
            )
        return numbered

    def _counted(self) -> int:
        """The next commit position of a source without order."""
        counter = self._state.progress.counter + 1
        self._state.progress = replace(self._state.progress, counter=counter)
        return counter


_shape = itemgetter(0)


def _by_shape(changes: Sequence[Change]) -> list[tuple[Shape, Sequence[Change]]]:
    """The changes of each shape, in order per table; usually there is only one.

    A table may return to an earlier shape: that is a new group then.
    """
    if len(set(map(_shape, changes))) == 1:
        return [(changes[0][0], changes)]
    buckets: list[tuple[Shape, list[Change]]] = []
    latest: dict[str, tuple[Shape, list[Change]]] = {}
    for change in changes:
        shape = change[0]
        bucket = latest.get(shape.table)
        if bucket is None or bucket[0] is not shape:
            bucket = latest[shape.table] = (shape, [])
            buckets.append(bucket)
        bucket[1].append(change)
    return [*buckets]
