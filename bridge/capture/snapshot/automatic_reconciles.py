"""Comparisons of tables with the log that capture requests by itself."""

from __future__ import annotations

from bridge.capture.checkpoint.record import (
    AFTERWARDS_PREFIX,
    STALE_PREFIX,
    TRUNCATED_PREFIX,
    SnapshotJob,
    enqueue,
)
from bridge.capture.outbox import RecordGroup
from bridge.capture.snapshot.chunks import ChunkReader
from bridge.capture.state import CaptureState
from bridge.connector import Stale, Truncate


class AutomaticReconciles:
    """Adds reconciles to the progress, in stream order, when the stream no longer suffices."""

    def __init__(self, state: CaptureState, chunks: ChunkReader) -> None:
        self._state = state
        self._chunks = chunks
        capabilities = state.deps.connector.capabilities()
        self._possible = capabilities.snapshot
        self._every_change = capabilities.every_change

    def on_truncate(self, truncate: Truncate, group: RecordGroup) -> None:
        """A TRUNCATE was streamed: the log's rows of these tables must be compared with them."""
        for table in truncate.tables:
            for entity in self._state.by_table.get(table, ()):
                name = entity.spec.name
                if name in self._state.progress.paused:
                    continue
                if not self._possible:
                    self._state.pause(entity, f"table {table!r} was truncated", group)
                    continue
                commit = truncate.transaction.commit or self._state.deps.clock()
                self._compare(
                    SnapshotJob(f"{TRUNCATED_PREFIX}{name}-{commit:x}", name, reconcile=True)
                )

    def on_stale(self, stale: Stale, group: RecordGroup) -> None:
        """The source has missed changes of these tables: the log is compared with them.

        What it emitted before stays in the log. A running reconcile may have read rows whose
        changes were missed, so it starts over, unless only deletes were missed.
        """
        for table in stale.tables:
            for entity in self._state.by_table.get(table, ()):
                name = entity.spec.name
                if name in self._state.progress.paused:
                    continue
                if not self._possible:
                    self._state.pause(entity, f"table {table!r}: {stale.reason}", group)
                    continue
                if stale.deletes_only and self._compares(name, begun=not stale.once):
                    continue
                number = self._state.deps.clock()
                self._compare(
                    SnapshotJob(
                        f"{STALE_PREFIX}{name}-{number:x}",
                        name,
                        reconcile=True,
                        deletes_only=stale.deletes_only,
                        reason=stale.reason,
                    )
                )

    def after_snapshot(self, entity: str) -> None:
        """A polling source never emits rows that were read and then deleted before its poll: their
        keys are compared once it has polled the state as of the read.
        """
        if self._every_change or self._compares(entity):
            return
        number = self._state.deps.clock()
        job = SnapshotJob(
            f"{AFTERWARDS_PREFIX}{entity}-{number:x}",
            entity,
            reconcile=True,
            deletes_only=True,
            reason="rows may have come and gone between two polls while they were read",
        )
        self._state.become(enqueue(self._state.progress, job))

    def _compares(self, entity: str, *, begun: bool = True) -> bool:
        """Whether a comparison is pending; `begun`: a running one counts."""
        return any(
            job.entity == entity and job.reconcile and (begun or not (job.since or job.chunks))
            for job in self._state.progress.jobs
        )

    def _compare(self, job: SnapshotJob) -> None:
        self._state.become(enqueue(self._state.progress, job))
        under_way = self._chunks.job
        if under_way is not None and all(
            each.id != under_way.id for each in self._state.progress.jobs
        ):
            self._chunks.abandon_job()
