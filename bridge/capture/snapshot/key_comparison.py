"""The deletes of one reconcile: keys that only the log has, confirmed by the system, then
deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridge.capture.checkpoint.record import TRUNCATED_PREFIX, SnapshotJob
from bridge.capture.entity import CapturedEntity
from bridge.capture.outbox import Outbox, RecordGroup
from bridge.capture.snapshot.delete_confirmation import DeleteConfirmation
from bridge.capture.snapshot.log_keys import LogKeys
from bridge.capture.state import CaptureState
from bridge.closing import close_all
from bridge.connector import Shape
from bridge.log.port import Entry
from bridge.model.delete_limit import parse_delete_limit
from bridge.observe import DeletesWithheld
from bridge.plan.execute import RowEncoder

DELETES_PER_PAGE = 2_000


class KeyComparison:
    """Compares the log's keys with those of the table and the stream. Used by one task.

    Order of calls: `scan`, `note_present` and `spare` at any time; `confirm` once the table was
    read, until it has written its watermark; when that is streamed, `write_deletes` and
    `report_kept`.
    """

    def __init__(self, state: CaptureState, entity: CapturedEntity, job: SnapshotJob) -> None:
        self.job_id = job.id
        self._state = state
        self._entity = entity
        self._log_keys = LogKeys(job)
        self._confirmation: DeleteConfirmation | None = None

    def scan(self, flushed: Awaitable[None]) -> None:
        """Begin to read the log's keys once everything emitted before is in the log."""
        entity = self._entity
        self._log_keys.start(self._state.deps.log, entity.topic, entity.partitions, flushed)

    @property
    def is_scanned(self) -> bool:
        """Whether the log's keys were read. Raises what reading them raised."""
        return self._log_keys.ready()

    @property
    def has_unmet_keys(self) -> bool:
        """Whether the log has keys that neither the table nor the stream has shown."""
        return any(self._log_keys.keys.left(1))

    def note_present(self, keys: Sequence[bytes]) -> None:
        """The table or the stream has shown these."""
        self._log_keys.keys.touched(keys)

    def spare(self, keys: Sequence[bytes]) -> None:
        """These keys are in the table although no record has them: their rows were
        dead-lettered.
        """
        self._log_keys.spare(keys)

    def stamped(self, job: SnapshotJob) -> SnapshotJob:
        """The job with what it needs after a restart."""
        return self._log_keys.stamped(job)

    # -- confirming --------------------------------------------------------------------------

    @property
    def why(self) -> str:
        """What prevents querying the system by key; empty: nothing."""
        return self._confirmation.why if self._confirmation is not None else ""

    @property
    def waiting(self) -> bool:
        """The system can't be queried by key at the moment."""
        return self._confirmation is not None and self._confirmation.waiting

    @property
    def shape(self) -> Shape | None:
        """The table's shape when its keys were queried; None: no query was needed."""
        return self._confirmation.shape if self._confirmation is not None else None

    @property
    def was_refused(self) -> bool:
        """The queries were abandoned: confirmation has to start over."""
        return self._confirmation is not None and self._confirmation.refused

    def refuse(self) -> None:
        """Abandon the queries."""
        if self._confirmation is not None:
            self._confirmation.refused = True

    def ends_at(self, watermark: str) -> bool:
        """Whether the confirmed deletes belong at this watermark."""
        return self._confirmation is not None and self._confirmation.watermark == watermark

    async def confirm(
        self, job: SnapshotJob, write_watermark: Callable[[str], Awaitable[str]]
    ) -> None:
        """Query the system for the keys that only the log has, as far as possible without waiting;
        at the end write the watermark at which the deletes are written. Raises as
        `DeleteConfirmation.step`.
        """
        if self._confirmation is None:
            limit = self._entity.spec.max_deletes
            if job.max_deletes:
                limit = parse_delete_limit(job.max_deletes)
            by_truncate = job.id.startswith(TRUNCATED_PREFIX)
            self._confirmation = DeleteConfirmation(
                self._state.deps, self._entity, self._log_keys.keys, None if by_truncate else limit
            )
        if not self._confirmation.watermark and await self._confirmation.step():
            self._confirmation.watermark = await write_watermark("high")

    async def restart_confirmation(self) -> None:
        """Forget all query results."""
        if self._confirmation is not None:
            await self._confirmation.close()
            self._confirmation = None

    # -- deleting ----------------------------------------------------------------------------

    async def write_deletes(
        self, encoder: RowEncoder, commit: int, group: RecordGroup, outbox: Outbox
    ) -> int:
        """Write the confirmed deletes, except keys that were streamed since; returns how many. They
        are written before the group, with its old progress: if the process ends in between, the
        reconcile starts over and finds them done.
        """
        state, entity = self._state, self._entity
        deleted = 0
        state.deps.crash_point("deletes.before")
        for keys in self._log_keys.keys.gone(DELETES_PER_PAGE):
            page = RecordGroup(group.progress)
            entries: list[Entry] = []
            epoch, now = state.progress.epoch, state.deps.clock()
            encoder.deletes(keys, epoch, commit, deleted, now, entries)
            page.add(entity.topic, entries)
            page.count(entity.spec.qualified, len(keys))
            await outbox.put(page)
            deleted += len(keys)
        return deleted

    def report_kept(self, group: RecordGroup, *, every_change: bool) -> str:
        """Report keys that stay in the log although the table didn't show them. Returns why the
        comparison is incomplete, or "" for a polling source, whose next poll may show them.
        """
        name = self._entity.spec.qualified
        unasked = self._confirmation.unasked if self._confirmation is not None else []
        # Rows that exist nevertheless were not shown by the read, or are new and not streamed yet.
        unmet = sum(map(len, self._log_keys.keys.left(DELETES_PER_PAGE)))
        present = max(unmet - len(unasked), 0)
        if not present and not unasked:
            return ""
        reasons = []
        if present:
            reasons.append(
                f"reading the table of {name} did not show {present} rows that a query by key "
                "returns: no deletes were written for them, and the log may have an older state of "
                "them; check the system's order and paging, then compare again"
            )
        if unasked:
            reasons.append(
                f"{len(unasked)} rows of {name} can't be queried by key, so they stay in the log "
                f"({unasked[0]})"
            )
        reason = "; ".join(reasons)
        group.notices.append(DeletesWithheld(name, present, len(unasked), reason))
        return reason if unasked or every_change else ""

    async def close(self) -> None:
        """Stop the queries and forget the keys."""
        await close_all(self.restart_confirmation, self._log_keys.close)
