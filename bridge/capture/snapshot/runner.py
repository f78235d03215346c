"""Runs the snapshots and reconciles listed in the progress, from their first read to their
result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.capture.checkpoint.record import (
    RESUMED_REASON,
    SnapshotJob,
    abandon,
    advance,
    finish,
    nobody_asks_again,
    prefer,
)
from bridge.capture.entity import CapturedEntity, keys_of, row_keys
from bridge.capture.outbox import Outbox, RecordGroup
from bridge.capture.snapshot.automatic_reconciles import AutomaticReconciles
from bridge.capture.snapshot.chunks import ChunkReader
from bridge.capture.snapshot.delete_confirmation import ImplausibleDeletes
from bridge.capture.snapshot.job_backoff import JobBackoff
from bridge.capture.snapshot.key_comparison import KeyComparison
from bridge.capture.snapshot.windows import ChunkWindow, KeyChange
from bridge.capture.state import CaptureState
from bridge.closing import close_all
from bridge.connector import Change
from bridge.log.port import Entry
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from bridge.observe import SnapshotProgress
from bridge.plan.failed_row import FailedRow


class SnapshotRunner:
    """Owns the running snapshot job: the first of the progress that can continue. Used by one task.

    Call `advance` between reads of the source, and the methods below it in stream order. The job's
    chunks are read by `ChunkReader`; a reconcile's deletes are found by `KeyComparison`.
    """

    def __init__(self, state: CaptureState, chunks: ChunkReader, outbox: Outbox) -> None:
        self._state = state
        self._chunks = chunks
        self._outbox = outbox
        self._comparison: KeyComparison | None = None
        self.automatic = AutomaticReconciles(state, chunks)
        capabilities = state.deps.connector.capabilities()
        self._possible = capabilities.snapshot
        self._every_change = capabilities.every_change
        self._backoff = JobBackoff(state.deps.limits)

    @property
    def is_active(self) -> bool:
        """There is a snapshot to take."""
        return self._possible and bool(self._state.progress.jobs)

    @property
    def can_continue(self) -> bool:
        """A job is running and need not wait: call `advance` again soon."""
        comparison = self._comparison
        postponed = self._chunks.postponed or (comparison is not None and comparison.waiting)
        return self.is_active and not postponed and self._next_job() is not None

    @property
    def waiting_reasons(self) -> Mapping[str, str]:
        """Job id -> what keeps it from continuing now."""
        if not self.is_active:
            return {}
        under_way = self._state.progress.jobs[0].id
        confirming = self._comparison.why if self._comparison is not None else ""
        reason = self._chunks.why or confirming
        return {**self._backoff.reasons, **({under_way: reason} if reason else {})}

    @property
    def lasting_refusals(self) -> frozenset[str]:
        """The ids of jobs that were refused for the same reason repeatedly."""
        return self._backoff.lasting if self.is_active else frozenset()

    async def advance(self) -> None:
        """Continue with the first job that can, as far as possible without waiting."""
        job = self._next_job()
        if job is not None and job.id != self._state.progress.jobs[0].id:
            self._state.become(prefer(self._state.progress, job))
        if job is not None and not job.moved_at:
            job = replace(job, moved_at=self._state.deps.clock())
            self._state.become(advance(self._state.progress, job))
        await self._drop_replaced()
        if not self.is_active:
            await self._chunks.probe_visibility()
            return
        if job is None:
            return
        entity = self._state.entities[job.entity]
        try:
            if self._chunks.job is None:
                if job.reconcile and not self._is_scanned(job, entity):
                    return
                total = await self._chunks.estimate(entity.spec.table, job)
                if total is None:
                    return
                job = replace(job, total=total)
                self._state.become(advance(self._state.progress, job))
                self._chunks.start_job(entity.spec.table, job)
            if not self._chunks.is_done:
                await self._chunks.read_next()
            elif self._comparison is not None:
                await self._comparison.confirm(job, self._chunks.write_watermark)
        except ImplausibleDeletes as error:
            self._state.deps.observer(self._state.paused(entity, str(error)))
        except (ConfigurationError, Rejected) as error:
            self._refuse(job, str(error))
        except Unsupported as error:
            self._state.become(abandon(self._state.progress, job, str(error)))

    def _next_job(self) -> SnapshotJob | None:
        """The first job that can continue now."""
        if not self.is_active:
            return None
        return self._backoff.first(self._state.progress.jobs, self._state.deps.monotonic())

    def _refuse(self, job: SnapshotJob, reason: str) -> None:
        """A person's job ends with the reason; one that nobody would request again is kept, because
        otherwise the log would miss rows, or keep deleted ones, for ever. For the same reason an
        entity that can't be compared after its pause is paused again.
        """
        if self._comparison is not None:
            self._comparison.refuse()
        if job.reason == RESUMED_REASON:
            entity = self._state.entities[job.entity]
            self._state.deps.observer(self._state.paused(entity, reason))
            return
        if not nobody_asks_again(job):
            self._state.become(abandon(self._state.progress, job, reason))
            return
        self._chunks.abandon_job()
        self._backoff.refuse(job, reason, self._state.deps.monotonic())

    def _is_scanned(self, job: SnapshotJob, entity: CapturedEntity) -> bool:
        """Whether the log's keys were read; starts reading them if necessary."""
        if self._comparison is None:
            if not job.since or job.deletes_only:
                # It begins, or it is unknown which keys were seen before a restart.
                since = self._state.progress.position
                job = replace(
                    job, after=None, whole=False, rereads=(), rows=0, chunks=0, since=since
                )
                self._state.become(advance(self._state.progress, job))
            self._comparison = KeyComparison(self._state, entity, job)
            self._comparison.scan(self._outbox.flushed())
        return self._comparison.is_scanned

    async def _drop_replaced(self) -> None:
        """Forget a job that is no longer the first: cancelled, replaced, paused or done."""
        first = self._state.progress.jobs[0].id if self._state.progress.jobs else ""
        if self._chunks.job is not None and self._chunks.job.id != first:
            self._chunks.abandon_job()
        comparison = self._comparison
        if comparison is None:
            return
        if self._chunks.job is None or comparison.was_refused:
            await comparison.restart_confirmation()
        if comparison.job_id != first:
            await comparison.close()
            self._comparison = None

    # -- in stream order ---------------------------------------------------------------------

    def postpone_unfit(self, entity: str) -> None:
        """The entity's table is incompatible: its snapshot starts over later, because what was read
        is older than the changes that are skipped.
        """
        reason = self._state.unfit.get(entity)
        if reason is not None and self.is_under_way(entity):
            self._refuse(self._state.progress.jobs[0], reason)

    def note_polls(self, polls: int) -> None:
        """The source emitted everything of so many complete polls."""
        self._backoff.note_polls(polls)

    def note_streamed(self, table: str, changes: Sequence[Change]) -> None:
        """Changes of a table were streamed."""
        self._chunks.note_streamed(table, changes)

    def is_under_way(self, entity: str) -> bool:
        """Whether the running job is of this entity, so its changes have to be noted."""
        jobs = self._state.progress.jobs
        return bool(jobs) and jobs[0].entity == entity

    def note_changes(self, changes: Sequence[KeyChange], dead_lettered: Sequence[bytes]) -> None:
        """Changes of the running job's entity were streamed; `dead_lettered`: the keys of those
        that became no event.
        """
        self._chunks.note_changes(
            [*changes, *(KeyChange(key, complete=True) for key in dead_lettered)]
        )
        progress = self._state.progress
        # A job that has just been replaced ends at the next step; the new one has not seen what it
        # saw.
        if self._comparison is None or self._comparison.job_id != progress.jobs[0].id:
            return
        self._comparison.note_present([change.key for change in changes])
        if dead_lettered:
            self._comparison.spare(dead_lettered)
            self._state.become(advance(progress, self._comparison.stamped(progress.jobs[0])))

    async def pass_watermark(self, name: str, commit: int, group: RecordGroup) -> None:
        """A watermark was streamed: write the chunk whose window ends here, or the deletes that
        were confirmed before it.
        """
        if self._comparison is not None and self._comparison.ends_at(name):
            await self._write_deletes(self._comparison, commit, group)
            return
        window = self._chunks.pass_watermark(name)
        job = self._chunks.job
        if window is None or job is None or not self.is_under_way(job.entity):
            return
        self._state.deps.crash_point("emit.before")
        await self._emit(window, job, commit, group)

    async def _emit(
        self, window: ChunkWindow, job: SnapshotJob, commit: int, group: RecordGroup
    ) -> None:
        state, comparison = self._state, self._comparison
        entity, chunk = state.entities[job.entity], window.chunk
        if chunk is None:
            raise ValueError("a window can't end before its chunk was read")
        encoder = await state.encoder(entity, chunk.shape, group)
        if encoder is None:
            self._chunks.abandon_job()
            self.postpone_unfit(job.entity)
            return
        entries: list[Entry] = []
        failures: list[FailedRow] = []
        if job.deletes_only:
            keys = row_keys(encoder, chunk.rows)
        else:
            failures = encoder.rows(
                chunk.rows, state.progress.epoch, commit, 0, state.deps.clock(), entries
            )
            keys = [entry[0] or b"" for entry in entries]
        size = sum([len(entry[1] or b"") for entry in entries])
        emission = self._chunks.emit(window, keys, size)
        if emission is None:
            return
        if failures and window.keys is None:
            state.dead_letter(entity, encoder, failures, group)
        if comparison is not None:
            comparison.note_present(keys)
            # Dead-lettered rows are in the table nevertheless.
            comparison.spare(keys_of(encoder, failures))
        rows = emission.rows
        # A job for deletes only has keys, but no entries.
        kept = entries if len(rows) >= len(entries) else [entries[index] for index in rows]
        group.add(entity.topic, kept)
        group.count(entity.spec.qualified, len(kept))
        group.size += size
        job = replace(emission.job, moved_at=state.deps.clock())
        if comparison is not None:
            job = comparison.stamped(job)
        state.become(advance(state.progress, job))
        self._backoff.succeed(job)
        # Keys that only the log has are queried before they are deleted: see
        # `KeyComparison.confirm`.
        done = self._chunks.is_done and not (comparison is not None and comparison.has_unmet_keys)
        if done:
            if comparison is not None:
                state.deps.crash_point("deletes.before")  # none, as it turned out
            self._finish(job, 0)
        self._report(job, group, done=done)

    async def _write_deletes(
        self, comparison: KeyComparison, commit: int, group: RecordGroup
    ) -> None:
        state, job = self._state, self._chunks.job
        if job is None or not self.is_under_way(job.entity):
            return
        deleted = 0
        if comparison.shape is not None:
            entity = state.entities[job.entity]
            encoder = await state.encoder(entity, comparison.shape, group)
            if encoder is None:
                self._chunks.abandon_job()
                return
            deleted = await comparison.write_deletes(encoder, commit, group, self._outbox)
        failed = comparison.report_kept(group, every_change=self._every_change)
        self._finish(job, deleted, failed)
        self._report(job, group, done=True)

    def _finish(self, job: SnapshotJob, deleted: int, failed: str = "") -> None:
        """All of the job was emitted."""
        self._state.become(finish(self._state.progress, deleted, failed))
        self._chunks.abandon_job()
        if not job.deletes_only:
            self.automatic.after_snapshot(job.entity)

    def _report(self, job: SnapshotJob, group: RecordGroup, *, done: bool) -> None:
        """Report how far the job is."""
        name = self._state.entities[job.entity].spec.qualified
        total = max(job.total, job.rows)
        group.notices.append(SnapshotProgress(name, job.rows, total, done))

    async def close(self) -> None:
        """Stop the running job."""
        comparison = self._comparison
        ends = comparison.close if comparison is not None else None
        await close_all(ends, self._chunks.close)
