"""Snapshots and reconciles as the progress lists them, from their first read to their result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.capture.checkpoint.record import (
    RESUMED,
    TRUNCATED,
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
from bridge.capture.snapshot.delete_confirmation import DeleteConfirmation, ImplausibleDeletes
from bridge.capture.snapshot.job_backoff import JobBackoff
from bridge.capture.snapshot.log_keys import LogKeys
from bridge.capture.snapshot.windows import ChunkWindow, KeyChange
from bridge.capture.state import CaptureState
from bridge.connector import Change
from bridge.log.port import Entry
from bridge.model.delete_limit import parse_delete_limit
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from bridge.observe import DeletesWithheld, SnapshotProgress
from bridge.plan.execute import RowEncoder
from bridge.plan.failed_row import FailedRow

PAGE = 2_000


class SnapshotRunner:
    """The first job of the progress, taken step by step. Used by one task.

    `step` goes on between reads of the source; the rest is told in stream order.
    """

    def __init__(self, state: CaptureState, snapshots: ChunkReader, outbox: Outbox) -> None:
        self._state = state
        self._snapshots = snapshots
        self._outbox = outbox
        self._reconcile: LogKeys | None = None
        self._confirmation: DeleteConfirmation | None = None
        self.comparisons = AutomaticReconciles(state, snapshots)
        capabilities = state.deps.connector.capabilities()
        self._possible = capabilities.snapshot
        self._every_change = capabilities.every_change
        self._patience = JobBackoff(state.deps.limits)

    @property
    def active(self) -> bool:
        """There is a snapshot to take."""
        return self._possible and bool(self._state.progress.jobs)

    @property
    def soon(self) -> bool:
        """Come by soon: a job is under way, and can go on."""
        confirming = self._confirmation
        postponed = self._snapshots.postponed or (confirming is not None and confirming.waiting)
        return self.active and not postponed and self._next() is not None

    @property
    def waiting(self) -> Mapping[str, str]:
        """What keeps jobs from going on for now, by their ids."""
        if not self.active:
            return {}
        under_way = self._state.progress.jobs[0].id
        confirming = self._confirmation.why if self._confirmation is not None else ""
        reason = self._snapshots.why or confirming
        why = {under_way: reason} if reason else {}
        return {**self._patience.why, **why}

    @property
    def refused(self) -> frozenset[str]:
        """The ids of jobs that were refused for the same reason again and again."""
        return self._patience.lasting if self.active else frozenset()

    async def step(self) -> None:
        """Go on with the first job that can, as far as possible without waiting."""
        job = self._next()
        if job is not None and job.id != self._state.progress.jobs[0].id:
            self._state.become(prefer(self._state.progress, job))
        if job is not None and not job.moved_at:
            job = replace(job, moved_at=self._state.deps.clock())
            self._state.become(advance(self._state.progress, job))
        await self._drop_stale()
        if not self.active:
            await self._snapshots.prove()
            return
        if job is None:
            return
        entity = self._state.entities[job.entity]
        try:
            if self._snapshots.job is None:
                if job.reconcile and not self._scanned(job):
                    return
                total = await self._snapshots.estimate(entity.spec.table, job)
                if total is None:
                    return
                job = replace(job, total=total)
                self._state.become(advance(self._state.progress, job))
                self._snapshots.begin(entity.spec.table, job)
            if self._snapshots.done:
                await self._confirm(job, entity)
            else:
                await self._snapshots.step()
        except ImplausibleDeletes as error:
            self._state.deps.observer(self._state.paused(entity, str(error)))
        except (ConfigurationError, Rejected) as error:
            self._refused(job, str(error))
        except Unsupported as error:
            self._state.become(abandon(self._state.progress, job, str(error)))

    def _next(self) -> SnapshotJob | None:
        """The first job that can go on now."""
        if not self.active:
            return None
        return self._patience.first(self._state.progress.jobs, self._state.deps.monotonic())

    def _refused(self, job: SnapshotJob, why: str) -> None:
        """Whoever asked for it is told so; what nobody else would ask for again is kept, since the
        log would lack rows, or hold rows that are gone, for ever. For the same reason an entity that
        can't be compared after its pause is paused again.
        """
        if self._confirmation is not None:
            self._confirmation.refused = True
        if job.reason == RESUMED:
            entity = self._state.entities[job.entity]
            self._state.deps.observer(self._state.paused(entity, why))
            return
        if not nobody_asks_again(job):
            self._state.become(abandon(self._state.progress, job, why))
            return
        self._snapshots.drop()
        self._patience.refused(job, why, self._state.deps.monotonic())

    def unfit(self, entity: str) -> None:
        """Its table doesn't fit it: a snapshot of it begins again, later. What was read of it is
        older than the changes that are left out.
        """
        reason = self._state.unfit.get(entity)
        if reason is not None and self.listens(entity):
            self._refused(self._state.progress.jobs[0], reason)

    def looked(self, polls: int) -> None:
        """The source told all that its looks have found, as many as these."""
        self._patience.looked(polls)

    def _scanned(self, job: SnapshotJob) -> bool:
        """Whether the log's keys are known; begins to read them."""
        if self._reconcile is None:
            if not job.since or job.deletes_only:
                # It begins, or nothing tells which keys were met before a restart.
                since = self._state.progress.position
                job = replace(
                    job, after=None, whole=False, rereads=(), rows=0, chunks=0, since=since
                )
                self._state.become(advance(self._state.progress, job))
            self._reconcile = LogKeys(job)
            self._reconcile.start(
                self._state.deps.log,
                self._state.entities[job.entity].topic,
                self._state.entities[job.entity].partitions,
                self._outbox.flushed(),
            )
        return self._reconcile.ready()

    async def _drop_stale(self) -> None:
        """Forget a job that is no longer the first: cancelled, replaced, paused or done."""
        first = self._state.progress.jobs[0].id if self._state.progress.jobs else ""
        if self._snapshots.job is not None and self._snapshots.job.id != first:
            self._snapshots.drop()
        if self._confirmation is not None and (
            self._snapshots.job is None or self._confirmation.refused
        ):
            await self._confirmation.close()
            self._confirmation = None
        if self._reconcile is not None and self._reconcile.job != first:
            await self._reconcile.close()
            self._reconcile = None

    # -- in stream order ---------------------------------------------------------------------

    def streamed(self, table: str, changes: Sequence[Change]) -> None:
        """Changes of a table came by."""
        self._snapshots.streamed(table, changes)

    def listens(self, entity: str) -> bool:
        """Whether changes of this entity matter to the job under way."""
        jobs = self._state.progress.jobs
        return bool(jobs) and jobs[0].entity == entity

    def heard(self, changes: Sequence[KeyChange], set_aside: Sequence[bytes]) -> None:
        """Changes of an entity came by that `listens` has asked for; `set_aside` are the keys of
        those that became no event.
        """
        self._snapshots.touch([*changes, *(KeyChange(key, complete=True) for key in set_aside)])
        progress = self._state.progress
        # One that has just been replaced ends at the next step; what it met, the new one has not.
        if self._reconcile is None or self._reconcile.job != progress.jobs[0].id:
            return
        self._reconcile.keys.touched(change.key for change in changes)
        if set_aside:
            self._reconcile.spare(set_aside)
            self._state.become(advance(progress, self._reconcile.stamped(progress.jobs[0])))

    async def watermark(self, name: str, commit: int, group: RecordGroup) -> None:
        """A watermark came by: write the chunk whose window ends here, or the deletes that were
        confirmed before it.
        """
        if self._confirmation is not None and self._confirmation.watermark == name:
            await self._write_deletes(self._confirmation, commit, group)
            return
        window = self._snapshots.passed(name)
        job = self._snapshots.job
        if window is None or job is None or not self.listens(job.entity):
            return
        self._state.deps.crash_point("emit.before")
        await self._emit(window, job, commit, group)

    async def _emit(
        self, window: ChunkWindow, job: SnapshotJob, commit: int, group: RecordGroup
    ) -> None:
        state = self._state
        entity, chunk = state.entities[job.entity], window.chunk
        if chunk is None:
            raise ValueError("a window can't end before its chunk was read")
        executor = await state.executor(entity, chunk.shape, group)
        if executor is None:
            self._snapshots.drop()
            self.unfit(job.entity)
            return
        entries: list[Entry] = []
        failures: list[FailedRow] = []
        if job.deletes_only:
            keys = row_keys(executor, chunk.rows)
        else:
            failures = executor.rows(
                chunk.rows, state.progress.epoch, commit, 0, state.deps.clock(), entries
            )
            keys = [entry[0] or b"" for entry in entries]
        size = sum([len(entry[1] or b"") for entry in entries])
        emission = self._snapshots.emit(window, keys, size)
        if emission is None:
            return
        if failures and window.keys is None:
            state.set_aside(entity, executor, failures, group)
        if self._reconcile is not None:
            self._reconcile.keys.touched(keys)
            # What is set aside is in the table all the same.
            self._reconcile.spare(keys_of(executor, failures))
        rows = emission.rows
        # One for deletes only has keys, and no entries.
        kept = entries if len(rows) >= len(entries) else [entries[index] for index in rows]
        group.add(entity.topic, kept)
        group.count(entity.spec.qualified, len(kept))
        group.size += size
        job = replace(emission.job, moved_at=state.deps.clock())
        if self._reconcile is not None:
            job = self._reconcile.stamped(job)
        state.become(advance(state.progress, job))
        self._patience.came_on(job)
        unmet = None if self._reconcile is None else self._reconcile.keys
        # What only the log knows is asked for before it is deleted: see `_confirm`.
        done = self._snapshots.done and not (unmet is not None and any(unmet.left(1)))
        if done:
            if unmet is not None:
                state.deps.crash_point("deletes.before")  # none, as it turned out
            self._finish(job, 0)
        self._report(job, group, done=done)

    def _report(self, job: SnapshotJob, group: RecordGroup, *, done: bool) -> None:
        """Tell how far the job is."""
        name = self._state.entities[job.entity].spec.qualified
        total = max(job.total, job.rows)
        group.notices.append(SnapshotProgress(name, job.rows, total, done))

    def _finish(self, job: SnapshotJob, deleted: int, failed: str = "") -> None:
        """All of the job was emitted."""
        self._state.become(finish(self._state.progress, deleted, failed))
        self._snapshots.drop()
        if not job.deletes_only:
            self.comparisons.afterwards(job.entity)

    # -- deletes -----------------------------------------------------------------------------

    async def _confirm(self, job: SnapshotJob, entity: CapturedEntity) -> None:
        """The table was read: ask for what only the log knows, then mark where its deletes go."""
        reconcile = self._reconcile
        if reconcile is None:
            return
        if self._confirmation is None:
            limit = entity.spec.max_deletes
            if job.max_deletes:
                limit = parse_delete_limit(job.max_deletes)
            told_by_source = job.id.startswith(TRUNCATED)
            self._confirmation = DeleteConfirmation(
                self._state.deps, entity, reconcile.keys, None if told_by_source else limit
            )
        if not self._confirmation.watermark and await self._confirmation.step():
            self._confirmation.watermark = await self._snapshots.mark("high")

    async def _write_deletes(
        self, confirmed: DeleteConfirmation, commit: int, group: RecordGroup
    ) -> None:
        """Write the deletes that were confirmed, less those whose keys the stream brought since."""
        state, job = self._state, self._snapshots.job
        if job is None or self._reconcile is None or not self.listens(job.entity):
            return
        entity = state.entities[job.entity]
        deleted = 0
        if confirmed.shape is not None:
            executor = await state.executor(entity, confirmed.shape, group)
            if executor is None:
                self._snapshots.drop()
                return
            deleted = await self._delete(executor, entity, commit, group)
        # What is there all the same was not shown, or came since and is still to be told.
        present = sum(map(len, self._reconcile.keys.left(PAGE))) - len(confirmed.unasked)
        failed = self._withheld(entity, max(present, 0), confirmed.unasked, group)
        self._finish(job, deleted, failed)
        self._report(job, group, done=True)

    def _withheld(
        self, entity: CapturedEntity, present: int, unasked: Sequence[str], group: RecordGroup
    ) -> str:
        """Tell of keys that stay in the log. Returns why the comparison is no whole one, or ""."""
        if not present and not unasked:
            return ""
        name, reasons = entity.spec.qualified, []
        if present:
            reasons.append(
                f"reading the table of {name} did not show {present} rows that are there when they "
                "are asked for by key: nothing was deleted for them, and the log may have them as "
                "they were before; look at the system's order and paging, then compare again"
            )
        if unasked:
            reasons.append(
                f"{len(unasked)} rows of {name} can't be asked for, so that they stay in the log "
                f"({unasked[0]})"
            )
        reason = "; ".join(reasons)
        group.notices.append(DeletesWithheld(name, present, len(unasked), reason))
        # A source that polls may tell of them with its next look.
        return reason if unasked or self._every_change else ""

    async def _delete(
        self, executor: RowEncoder, entity: CapturedEntity, commit: int, group: RecordGroup
    ) -> int:
        """Write deletes before the group and with its old progress: should the process end in
        between, the reconcile begins anew and finds them done.
        """
        state = self._state
        deleted = 0
        if self._reconcile is None:
            return 0
        state.deps.crash_point("deletes.before")
        for keys in self._reconcile.keys.gone(PAGE):
            page = RecordGroup(group.progress)
            entries: list[Entry] = []
            epoch, now = state.progress.epoch, state.deps.clock()
            executor.deletes(keys, epoch, commit, deleted, now, entries)
            page.add(entity.topic, entries)
            page.count(entity.spec.qualified, len(keys))
            await self._outbox.put(page)
            deleted += len(keys)
        return deleted

    async def close(self) -> None:
        """Stop what is under way."""
        if self._confirmation is not None:
            await self._confirmation.close()
        if self._reconcile is not None:
            await self._reconcile.close()
        await self._snapshots.close()
