"""One connection of a source: opened after the log's checkpoint, read until something breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.capture import control
from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.codec import dump
from bridge.capture.checkpoint.record import (
    FIRST,
    LEFT_OUT,
    WAS_LEFT_OUT,
    CaptureProgress,
    SnapshotJob,
    enqueue,
    leave_out,
)
from bridge.capture.contract import CaptureDependencies
from bridge.capture.control import ControlRequest
from bridge.capture.deleted_topics import watch_topics
from bridge.capture.entity import CapturedEntity
from bridge.capture.outbox import Outbox, RecordGroup
from bridge.capture.report import status_record
from bridge.capture.report.status_record import CaptureStats
from bridge.capture.snapshot.chunks import ChunkReader
from bridge.capture.snapshot.runner import SnapshotRunner
from bridge.capture.state import CaptureState
from bridge.capture.stream import ChangeStream
from bridge.connector import Source
from bridge.log.port import Entry, Producer
from bridge.observe import (
    Captured,
    CaptureRemark,
    EntityPaused,
    EntityState,
    SourceState,
    WorkReported,
)

#: Changes up to which a transaction waits for its turn before it is filled: one that is large
#: enough has its records on the way meanwhile.
FEW = 200
#: How often the runner comes by while a chunk is being read: marks are written between reads.
NEARBY = 0.005


@dataclass(slots=True)
class CaptureSession:
    """Reads a source into the log. `progress` is what the log says; `run` ends only by raising.
    `name` is this connection's among all that ever were; `lacking` says of which entities nothing
    could be told when it began, and why.

    Four tasks: one reads, encodes and takes snapshots, one commits, one listens for requests, one
    looks whether `topics` are still there.
    """

    name: str
    deps: CaptureDependencies
    producer: Producer
    progress: CaptureProgress
    entities: dict[str, CapturedEntity]
    stats: CaptureStats
    tell: Callable[[str], None]
    lacking: Mapping[str, str] = field(default_factory=dict)
    topics: Collection[str] = ()
    wrote_changes: bool = False
    broken: bool = False

    async def run(self) -> None:
        """Open the source and go on until something breaks, or for ever."""
        source = await self.deps.connector.source(self.deps.system)
        try:
            await self._open(source)
            await self._go(source)
        finally:
            await source.close()

    async def _open(self, source: Source) -> None:
        crash_point = self.deps.crash_point
        first = self.progress.checkpoint is None
        if not first:
            # Says who owns the source now, and finds out whether we still do.
            await self._write(RecordGroup(self.progress))
        crash_point("open.before")
        begin = await source.open(self.progress.checkpoint)
        crash_point("open.after")
        if first:
            crash_point("first.before")
            self.progress = replace(self.progress, checkpoint=begin, at=self.deps.clock())
            await self._write(RecordGroup(self.progress))
            crash_point("first.after")

    async def _go(self, source: Source) -> None:
        limits = self.deps.limits
        state = CaptureState(self.deps, self.progress, self.entities)
        outbox = Outbox(limits.changes, limits.size)
        chunks = ChunkReader(self.deps, source, self.name)
        jobs = SnapshotRunner(state, chunks, outbox)
        requests: list[tuple[int, ControlRequest | None]] = []
        self._initial(state)
        # Those that are paused since an earlier run: whoever watches this one was told of none.
        for name, why in self.progress.paused.items():
            if name not in self.stats.paused:
                self.deps.observer(EntityPaused(self._qualified(name), why.reason))
        self.stats.paused = frozenset(self.progress.paused)
        self.tell("streaming")
        try:
            await first_to_raise(
                self._read(source, state, jobs, outbox, requests),
                self._commit(source, outbox),
                self._listen(requests),
                watch_topics(self.deps.log, self.topics, limits.topics),
            )
        finally:
            await jobs.close()

    def _initial(self, state: CaptureState) -> None:
        """Ask for a snapshot of every entity that never had one, and for a comparison of each that
        was taken out of the configuration for a while, since its changes were left out; note those
        that are no longer declared.
        """
        progress = leave_out(state.progress, self.entities)
        if progress is not state.progress:
            state.become(progress)
        if not (self.deps.snapshots and self.deps.connector.capabilities().snapshot):
            return
        asked = {
            job.entity for job in state.progress.jobs if job.where is None and not job.deletes_only
        }
        for name in self.entities:
            taken = state.progress.taken.get(name)
            if taken or name in state.progress.paused or name in asked:
                continue
            job = SnapshotJob(f"{FIRST}{name}", name)
            if taken == LEFT_OUT:
                job = replace(job, reconcile=True, reason=WAS_LEFT_OUT)
            state.become(enqueue(state.progress, job))

    # -- reading -----------------------------------------------------------------------------

    async def _read(
        self,
        source: Source,
        state: CaptureState,
        jobs: SnapshotRunner,
        outbox: Outbox,
        requests: list[tuple[int, ControlRequest | None]],
    ) -> None:
        limits = self.deps.limits
        stream = ChangeStream(state, jobs)
        written = self.deps.monotonic()
        while True:
            self._take(requests, state)
            await jobs.advance()
            self._waits(jobs.waiting_reasons)
            self.stats.refused = jobs.lasting_refusals
            timeout = NEARBY if jobs.can_continue else limits.wait
            batch = await source.read(limits.read, timeout)
            self.stats.lag_bytes, self.stats.silent = batch.lag_bytes, batch.silent
            group = await stream.group(batch)
            self._troubled(batch.troubles, state)
            self._remarked(batch.remarks, state)
            now = self.deps.monotonic()
            # A burst's last transactions came too soon after a report to have one of their own.
            quiet = limits.status if self.stats.owes and outbox.empty else limits.keep_alive
            if group.entries or state.changed or now - written >= quiet:
                state.changed = False
                written = now
                await outbox.put(group)
            elif outbox.empty:
                self.stats.idle(self.deps.clock())

    def _troubled(self, tables: Mapping[str, str], state: CaptureState) -> None:
        """Tell which entities can't be captured for now, and which can be again."""
        if not (tables or self.lacking or state.unfit or self.stats.troubles):
            return
        said = {
            entity.spec.name: why
            for table, why in tables.items()
            for entity in state.by_table.get(table, ())
        }
        # Of what the source speaks itself, it also says when it is over.
        self.lacking = {
            name: why
            for name, why in self.lacking.items()
            if name not in said and self.entities[name].type is None
        }
        found = {**self.lacking, **state.unfit, **said}
        before = self.stats.troubles
        self.stats.become_troubled(found, self.deps.clock())
        if found == before:
            return
        for name in {**before, **found}:
            if found.get(name) != before.get(name):
                what = "unavailable" if name in found else "captured"
                qualified = self.entities[name].spec.qualified
                self.deps.observer(EntityState(qualified, what, found.get(name, "")))
        self.stats.reported_at = 0
        state.changed = True

    def _remarked(self, tables: Mapping[str, str], state: CaptureState) -> None:
        """Tell which entities are captured in a worse way than they could be."""
        if not (tables or self.stats.remarks):
            return
        remarks = {
            entity.spec.name: why
            for table, why in tables.items()
            for entity in state.by_table.get(table, ())
        }
        before, self.stats.remarks = self.stats.remarks, remarks
        if before.keys() == remarks.keys():
            return  # only its words are others, such as a number
        for name in before.keys() ^ remarks.keys():
            qualified = self.entities[name].spec.qualified
            reason = remarks.get(name) or "it is captured as well as it can be again"
            self.deps.observer(CaptureRemark(qualified, reason))
        self.stats.reported_at = 0
        state.changed = True

    def _resumed(self, progress: CaptureProgress) -> None:
        """Tell which entities are paused no longer."""
        for name in sorted(self.stats.paused.difference(progress.paused)):
            self.deps.observer(EntityState(self._qualified(name), "captured"))
        self.stats.paused = frozenset(progress.paused)

    def _qualified(self, name: str) -> str:
        return f"{self.deps.system.name}.{name}"

    def _waits(self, why: Mapping[str, str]) -> None:
        """Changes are streamed, and snapshots wait for something."""
        told = self.stats.waiting.values()
        for one in dict.fromkeys(why.values()):
            if one not in told:
                reason = f"snapshots wait: {one}"
                self.deps.observer(SourceState(self.deps.system.name, self.stats.state, reason))
        self.stats.waiting = why

    def _take(self, requests: list[tuple[int, ControlRequest | None]], state: CaptureState) -> None:
        """Apply what was asked for meanwhile."""
        snapshot = self.deps.connector.capabilities().snapshot
        for offset, asked in requests:
            progress = replace(state.progress, control=offset + 1)
            if asked is not None:
                if asked.action == "accept_loss":
                    reason = control.nothing_lost(self.deps.system.name)
                    self.deps.observer(SourceState(self.deps.system.name, self.stats.state, reason))
                known = dict.fromkeys(self.entities, snapshot)
                progress = control.apply(progress, asked, known, self.deps.clock())
            state.become(progress)
        requests.clear()

    async def _listen(self, requests: list[tuple[int, ControlRequest | None]]) -> None:
        """Read the control topic along."""
        place = control.partition(self.deps.bridge)
        deps = self.deps
        begin = await control.first_unread(deps.log, deps.bridge, self.progress.control)
        reader = await deps.log.reader({place: begin})
        try:
            while True:
                requests.extend(
                    (record.offset, self._asked(record.offset, record.value))
                    for record in await reader.read(100, 60.0)
                )
        finally:
            await reader.close()

    def _asked(self, offset: int, value: bytes | None) -> ControlRequest | None:
        """The request in a record, when it is one and is meant for this source."""
        try:
            asked = control.load(value)
        except ValueError as error:
            self.stats.reason = control.left_out_text(offset, error)
            return None
        return asked if asked.system == self.deps.system.name else None

    # -- writing -----------------------------------------------------------------------------

    async def _commit(self, source: Source, outbox: Outbox) -> None:
        crash_point = self.deps.crash_point
        while True:
            group = await outbox.take()
            started = self.deps.monotonic()
            await self._write(group, outbox)
            await outbox.done()
            self._told(group, self.deps.monotonic() - started)
            if group.ack is not None:
                crash_point("ack.before")
                await source.ack(group.ack)
                crash_point("ack.after")

    async def _write(self, group: RecordGroup, outbox: Outbox | None = None) -> None:
        """One log transaction: the group's records and the progress that they bring about."""
        try:
            await self._transaction(group, outbox)
        except BaseException:
            # Whether it was committed may be open; opening the producer anew settles it.
            self.broken = True
            raise
        self.deps.crash_point("commit.after")
        self.progress = self.stats.progress = group.progress

    async def _transaction(self, group: RecordGroup, outbox: Outbox | None) -> None:
        deps, source = self.deps, self.deps.system.name.encode()
        async with self.producer.transaction() as transaction:
            if outbox is not None and group.changes <= FEW:
                mark = {store.topic(deps.bridge).name: [Entry(source, None)]}
                await transaction.ready({**group.entries, **mark})
                await outbox.join(group)
            deps.crash_point("append.before")
            for topic, entries in group.entries.items():
                await transaction.append(topic, entries)
            await transaction.append(
                store.topic(deps.bridge).name, [Entry(source, dump(group.progress))]
            )
            now = deps.clock()
            if self.stats.due(now, deps.limits.status):
                told = self.stats.status(group.progress, now, group.changes, group.dead)
                deps.observer(WorkReported(tuple(told.work(self.entities))))
                report = status_record.dump(told)
                await transaction.append(
                    status_record.topic(deps.bridge).name, [Entry(source, report)]
                )
            deps.crash_point("append.after")

    def _told(self, group: RecordGroup, seconds: float) -> None:
        behind = self.stats.committed(self.deps.clock(), group.changes, group.dead, group.newest)
        observer = self.deps.observer
        self._resumed(group.progress)
        for notice in group.notices:
            observer(notice)
        if group.changes or group.dead:
            self.wrote_changes = True
            observer(
                Captured(
                    self.deps.system.name,
                    group.changes,
                    group.dead,
                    seconds,
                    behind,
                    group.progress.position,
                    group.entities,
                )
            )


async def first_to_raise(*tasks: Coroutine[Any, Any, None]) -> None:
    """Run until one of them raises, end the others in order, and raise that."""
    running = [asyncio.create_task(task) for task in tasks]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:
            if task in done:
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
