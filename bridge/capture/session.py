"""One connection of a source: opened at the log's checkpoint, read until something fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from bridge.capture.barriers import record as barrier_record
from bridge.capture.barriers.record import barrier_key
from bridge.capture.barriers.writer import BarrierWriter
from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.codec import dump
from bridge.capture.checkpoint.record import (
    FIRST_PREFIX,
    LEFT_OUT,
    WAS_LEFT_OUT_REASON,
    CheckpointRecord,
    SnapshotJob,
    enqueue,
    leave_out,
)
from bridge.capture.contract import CaptureDependencies
from bridge.capture.control_reader import ControlReader
from bridge.capture.deleted_topics import watch_topics
from bridge.capture.entity import CapturedEntity
from bridge.capture.outbox import Outbox, RecordGroup
from bridge.capture.report import status_record
from bridge.capture.report.entity_reports import EntityReports
from bridge.capture.report.stats import CaptureStats
from bridge.capture.snapshot.chunks import ChunkReader
from bridge.capture.snapshot.runner import SnapshotRunner
from bridge.capture.state import CaptureState
from bridge.capture.stream import ChangeStream
from bridge.concurrent_works import first_to_raise
from bridge.connector import Source
from bridge.log.port import Entry, Producer
from bridge.observe import Captured, WorkReported

#: A transaction of at most this many changes waits until the log is ready before it is filled; the
#: #: records of a larger one are sent meanwhile.
MAX_CHANGES_TO_WAIT_WITH = 200
#: How long one read waits while a chunk is being read: watermarks are written between reads.
READ_WAIT_DURING_SNAPSHOT_S = 0.005


@dataclass(slots=True)
class CaptureSession:
    """Reads a source into the log. `run` ends only by raising.
    progress: the checkpoint record.
    name: unique among all connections ever made.
    unprepared: entities that could not be prepared when it began, and why.

    Five tasks: one reads, encodes and takes snapshots, one commits, one follows the control topic,
    one writes barriers, one checks that `topics` are still there.
    """

    name: str
    deps: CaptureDependencies
    producer: Producer
    progress: CheckpointRecord
    entities: dict[str, CapturedEntity]
    stats: CaptureStats
    report_state: Callable[[str], None]
    unprepared: Mapping[str, str] = field(default_factory=dict)
    topics: Collection[str] = ()
    wrote_changes: bool = False
    broken: bool = False
    _reports: EntityReports = field(init=False)

    def __post_init__(self) -> None:
        self._reports = EntityReports(self.deps, self.stats, self.entities, self.unprepared)

    async def run(self) -> None:
        """Open the source and capture until something fails."""
        source = await self.deps.connector.source(self.deps.system)
        try:
            await self._open(source)
            await self._stream(source)
        finally:
            await source.close()

    async def _open(self, source: Source) -> None:
        crash_point = self.deps.crash_point
        first = self.progress.checkpoint is None
        if not first:
            # Records the new owner of the source, and verifies that it is still us.
            await self._write(RecordGroup(self.progress))
        crash_point("open.before")
        begin = await source.open(self.progress.checkpoint)
        crash_point("open.after")
        if first:
            crash_point("first.before")
            self.progress = replace(self.progress, checkpoint=begin, at=self.deps.clock())
            await self._write(RecordGroup(self.progress))
            crash_point("first.after")

    async def _stream(self, source: Source) -> None:
        limits = self.deps.limits
        state = CaptureState(self.deps, self.progress, self.entities)
        outbox = Outbox(limits.changes, limits.size)
        chunks = ChunkReader(self.deps, source, self.name)
        jobs = SnapshotRunner(state, chunks, outbox)
        barriers = BarrierWriter(self.deps, source, self.name)
        requests = ControlReader(self.deps, self.stats, barriers)
        stream = ChangeStream(state, jobs, barriers)
        self._request_first_snapshots(state)
        self._reports.report_paused(self.progress)
        self.report_state("streaming")
        try:
            await first_to_raise(
                self._read(source, state, jobs, outbox, requests=requests, stream=stream),
                self._commit(source, outbox),
                requests.listen(self.progress.control),
                barriers.run(),
                watch_topics(self.deps.log, self.topics, limits.topics),
            )
        finally:
            await jobs.close()

    def _request_first_snapshots(self, state: CaptureState) -> None:
        """Request a snapshot of every entity that never had one, and a comparison of each that was
        removed from the configuration for a while, because its changes were skipped; record those
        that are no longer declared.
        """
        progress = leave_out(state.progress, self.entities)
        if progress is not state.progress:
            state.become(progress)
        if not (self.deps.snapshots and self.deps.connector.capabilities().snapshot):
            return
        requested = {
            job.entity for job in state.progress.jobs if job.where is None and not job.deletes_only
        }
        for name in self.entities:
            taken = state.progress.taken.get(name)
            if taken or name in state.progress.paused or name in requested:
                continue
            job = SnapshotJob(f"{FIRST_PREFIX}{name}", name)
            if taken == LEFT_OUT:
                job = replace(job, reconcile=True, reason=WAS_LEFT_OUT_REASON)
            state.become(enqueue(state.progress, job))

    # -- reading -----------------------------------------------------------------------------

    async def _read(
        self,
        source: Source,
        state: CaptureState,
        jobs: SnapshotRunner,
        outbox: Outbox,
        *,
        requests: ControlReader,
        stream: ChangeStream,
    ) -> None:
        limits = self.deps.limits
        written = self.deps.monotonic()
        while True:
            requests.apply_to(state)
            await jobs.advance()
            self._reports.report_waiting(jobs.waiting_reasons)
            self.stats.refused = jobs.lasting_refusals
            timeout = READ_WAIT_DURING_SNAPSHOT_S if jobs.can_continue else limits.wait
            batch = await source.read(limits.read, timeout)
            self.stats.lag_bytes, self.stats.silent = batch.lag_bytes, batch.silent
            group = await stream.group(batch)
            self._reports.report_unavailable(batch.troubles, state)
            self._reports.report_remarks(batch.remarks, state)
            now = self.deps.monotonic()
            # The last transactions of a burst came too soon after a report to carry one.
            quiet = limits.status if self.stats.owes and outbox.empty else limits.keep_alive
            if group.entries or state.changed or now - written >= quiet:
                state.changed = False
                written = now
                await outbox.put(group)
            elif group.barrier is not None:
                # At once, but alone: its position isn't in the checkpoint, so nothing is confirmed.
                group.checkpointed, group.ack = False, None
                await outbox.put(group)
            elif outbox.empty:
                self.stats.idle(self.deps.clock())

    # -- writing -----------------------------------------------------------------------------

    async def _commit(self, source: Source, outbox: Outbox) -> None:
        crash_point = self.deps.crash_point
        while True:
            group = await outbox.take()
            started = self.deps.monotonic()
            await self._write(group, outbox)
            await outbox.done()
            self._report_committed(group, self.deps.monotonic() - started)
            if group.ack is not None:
                crash_point("ack.before")
                await source.ack(group.ack)
                crash_point("ack.after")

    async def _write(self, group: RecordGroup, outbox: Outbox | None = None) -> None:
        """Write one log transaction: the group's records and the resulting progress."""
        try:
            await self._transaction(group, outbox)
        except BaseException:
            # Whether it was committed may be undecided; reopening the producer decides it.
            self.broken = True
            raise
        self.deps.crash_point("commit.after")
        if group.checkpointed:
            self.progress = self.stats.progress = group.progress

    async def _transaction(self, group: RecordGroup, outbox: Outbox | None) -> None:
        deps, source = self.deps, self.deps.system.name.encode()
        async with self.producer.transaction() as transaction:
            if outbox is not None and group.changes <= MAX_CHANGES_TO_WAIT_WITH:
                checkpoint = {store.topic(deps.bridge).name: [Entry(source, None)]}
                await transaction.ready({**group.entries, **checkpoint})
                await outbox.join(group)
            deps.crash_point("append.before")
            for topic, entries in group.entries.items():
                await transaction.append(topic, entries)
            await transaction.append(store.topic(deps.bridge).name, self._positions(group))
            now = deps.clock()
            if group.checkpointed and self.stats.due(now, deps.limits.status):
                status = self.stats.status(group.progress, now, group.changes, group.dead)
                deps.observer(WorkReported(tuple(status.work(self.entities))))
                report = status_record.dump(status)
                await transaction.append(
                    status_record.topic(deps.bridge).name, [Entry(source, report)]
                )
            deps.crash_point("append.after")

    def _positions(self, group: RecordGroup) -> list[Entry]:
        """The records of a group in the positions topic."""
        system = self.deps.system.name
        entries = []
        if group.checkpointed:
            entries.append(Entry(system.encode(), dump(group.progress)))
        if group.barrier is not None:
            entries.append(Entry(barrier_key(system), barrier_record.dump(group.barrier)))
        return entries

    def _report_committed(self, group: RecordGroup, seconds: float) -> None:
        lag = self.stats.committed(self.deps.clock(), group.changes, group.dead, group.newest)
        observer = self.deps.observer
        self._reports.report_resumed(group.progress)
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
                    lag,
                    group.progress.position,
                    group.entities,
                )
            )
