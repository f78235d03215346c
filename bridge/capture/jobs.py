"""Snapshots and reconciles as the progress lists them, from their first read to their result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.capture.comparisons import Comparisons
from bridge.capture.entity import CapturedEntity, keys_of, row_keys
from bridge.capture.outbox import Group, Outbox
from bridge.capture.patience import Patience
from bridge.capture.progress import (
    RESUMED,
    Job,
    abandon,
    advance,
    finish,
    nobody_asks_again,
    prefer,
)
from bridge.capture.reconcile import Reconcile
from bridge.capture.snapshot import Snapshots
from bridge.capture.state import State
from bridge.capture.window import Touched, Window
from bridge.connector import Change
from bridge.log.port import Entry
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from bridge.observe import SnapshotProgress
from bridge.plan.execute import Executor
from bridge.plan.raw import Failure

PAGE = 2_000


class Jobs:
    """The first job of the progress, taken step by step. Used by one task.

    `step` goes on between reads of the source; the rest is told in stream order.
    """

    def __init__(self, state: State, snapshots: Snapshots, outbox: Outbox) -> None:
        self._state = state
        self._snapshots = snapshots
        self._outbox = outbox
        self._reconcile: Reconcile | None = None
        self.comparisons = Comparisons(state, snapshots)
        self._possible = state.wires.connector.capabilities().snapshot
        self._patience = Patience(state.wires.limits)

    @property
    def active(self) -> bool:
        """There is a snapshot to take."""
        return self._possible and bool(self._state.progress.jobs)

    @property
    def soon(self) -> bool:
        """Come by soon: a job is under way, and can go on."""
        return self.active and not self._snapshots.postponed and self._next() is not None

    @property
    def waiting(self) -> Mapping[str, str]:
        """What keeps jobs from going on for now, by their ids."""
        if not self.active:
            return {}
        under_way = self._state.progress.jobs[0].id
        why = {under_way: self._snapshots.why} if self._snapshots.why else {}
        return {**self._patience.why, **why}

    async def step(self) -> None:
        """Go on with the first job that can, as far as possible without waiting."""
        job = self._next()
        if job is not None and job.id != self._state.progress.jobs[0].id:
            self._state.become(prefer(self._state.progress, job))
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
            await self._snapshots.step()
        except (ConfigurationError, Rejected) as error:
            self._refused(job, str(error))
        except Unsupported as error:
            self._state.become(abandon(self._state.progress, job, str(error)))

    def _next(self) -> Job | None:
        """The first job that can go on now."""
        if not self.active:
            return None
        return self._patience.first(self._state.progress.jobs, self._state.wires.monotonic())

    def _refused(self, job: Job, why: str) -> None:
        """Whoever asked for it is told so; what nobody else would ask for again is kept, since the
        log would lack rows, or hold rows that are gone, for ever. For the same reason an entity that
        can't be compared after its pause is paused again.
        """
        if job.reason == RESUMED:
            entity = self._state.entities[job.entity]
            self._state.wires.observer(self._state.paused(entity, why))
            return
        if not nobody_asks_again(job):
            self._state.become(abandon(self._state.progress, job, why))
            return
        self._snapshots.drop()
        self._patience.refused(job, why, self._state.wires.monotonic())

    def looked(self, looks: int) -> None:
        """The source told all that its looks have found, as many as these."""
        self._patience.looked(looks)

    def _scanned(self, job: Job) -> bool:
        """Whether the log's keys are known; begins to read them."""
        if self._reconcile is None:
            if not job.since or job.deletes_only:
                # It begins, or nothing tells which keys were met before a restart.
                since = self._state.progress.position
                job = replace(job, after=None, whole=False, again=(), rows=0, chunks=0, since=since)
                self._state.become(advance(self._state.progress, job))
            self._reconcile = Reconcile(job)
            self._reconcile.start(
                self._state.wires.log,
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

    def heard(self, changes: Sequence[Touched], set_aside: Sequence[bytes]) -> None:
        """Changes of an entity came by that `listens` has asked for; `set_aside` are the keys of
        those that became no event.
        """
        self._snapshots.touch([*changes, *(Touched(key, complete=True) for key in set_aside)])
        progress = self._state.progress
        # One that has just been replaced ends at the next step; what it met, the new one has not.
        if self._reconcile is None or self._reconcile.job != progress.jobs[0].id:
            return
        self._reconcile.keys.touched(change.key for change in changes)
        if set_aside:
            self._reconcile.spare(set_aside)
            self._state.become(advance(progress, self._reconcile.stamped(progress.jobs[0])))

    async def watermark(self, name: str, commit: int, group: Group) -> None:
        """A watermark came by: write the chunk whose window ends here."""
        window = self._snapshots.passed(name)
        job = self._snapshots.job
        if window is None or job is None or not self.listens(job.entity):
            return
        self._state.wires.steps("emit.before")
        await self._emit(window, job, commit, group)

    async def _emit(self, window: Window, job: Job, commit: int, group: Group) -> None:
        state = self._state
        entity, chunk = state.entities[job.entity], window.chunk
        if chunk is None:
            raise ValueError("a window can't end before its chunk was read")
        executor = await state.executor(entity, chunk.shape, group)
        if executor is None:
            self._snapshots.drop()
            return
        entries: list[Entry] = []
        failures: list[Failure] = []
        if job.deletes_only:
            keys = row_keys(executor, chunk.rows)
        else:
            failures = executor.rows(
                chunk.rows, state.progress.epoch, commit, 0, state.wires.clock(), entries
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
        job = emission.job
        if self._reconcile is not None:
            job = self._reconcile.stamped(job)
        state.become(advance(state.progress, job))
        self._patience.came_on(job)
        await self._end(executor, job, commit, len(chunk.rows), group)

    async def _end(
        self, executor: Executor, job: Job, commit: int, number: int, group: Group
    ) -> None:
        """Tell how far the job is, and end it when all of it was emitted."""
        state = self._state
        entity = state.entities[job.entity]
        done = self._snapshots.done
        if done:
            deleted = 0
            if self._reconcile is not None:
                deleted = await self._delete(executor, entity, commit, number, group)
            state.become(finish(state.progress, deleted))
            self._snapshots.drop()
            if not job.deletes_only:
                self.comparisons.afterwards(job.entity)
        group.notices.append(
            SnapshotProgress(entity.spec.qualified, job.rows, max(job.total, job.rows), done)
        )

    async def _delete(
        self, executor: Executor, entity: CapturedEntity, commit: int, number: int, group: Group
    ) -> int:
        """Write deletes for what only the log knows, before the group and with its old progress:
        should the process end in between, the reconcile begins anew and finds them done.
        """
        state = self._state
        deleted = 0
        if self._reconcile is None:
            return 0
        state.wires.steps("deletes.before")
        for keys in self._reconcile.keys.left(PAGE):
            page = Group(group.progress)
            entries: list[Entry] = []
            epoch, now = state.progress.epoch, state.wires.clock()
            executor.deletes(keys, epoch, commit, number + deleted, now, entries)
            page.add(entity.topic, entries)
            page.count(entity.spec.qualified, len(keys))
            await self._outbox.put(page)
            deleted += len(keys)
        return deleted

    async def close(self) -> None:
        """Stop what is under way."""
        if self._reconcile is not None:
            await self._reconcile.close()
        await self._snapshots.close()
