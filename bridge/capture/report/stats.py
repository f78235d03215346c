"""Running counters and state of a source's capture, from which its status report is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.report.status_record import MICROSECONDS_PER_SECOND, SourceStatus


@dataclass(slots=True)
class CaptureStats:
    """Updated by the running capture; `status` builds the report. Used by one task.

    system, instance, started_at: of this run.
    state, reason: as in `SourceStatus`.
    silent: seconds for which the source has not answered, as of its last read; records written
    since then don't count as its progress.
    waiting: job id -> what keeps the snapshot from continuing.
    refused: ids of snapshots that were refused repeatedly.
    paused: entities that were reported as paused.
    """

    system: str
    instance: str
    started_at: int
    state: str = "starting"
    reason: str = ""
    progressed_at: int = 0
    behind: float | None = None
    lag_bytes: int | None = None
    silent: float = 0.0
    waiting: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    troubles: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    #: Since when each entity has been in `troubles`.
    troubled_since: dict[str, int] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    changes: int = 0
    dead: int = 0
    reported_at: int = 0
    #: Changes and dead letters as of the last report.
    reported: tuple[int, int] = (0, 0)
    progress: CheckpointRecord = field(default_factory=CheckpointRecord)

    @property
    def owes(self) -> bool:
        """Whether something was committed since the last report."""
        return self.reported != (self.changes, self.dead)

    def due(self, at: int, every: float) -> bool:
        """Whether it is time for another report; then `at` counts as its time."""
        if 0 <= at - self.reported_at < every * MICROSECONDS_PER_SECOND:
            return False
        self.reported_at = at
        return True

    def committed(self, at: int, changes: int, dead: int, newest: int | None) -> float | None:
        """A log transaction was committed; `newest`: the commit time of its newest change.

        Returns the lag in seconds.
        """
        self._progress(at)
        self.changes += changes
        self.dead += dead
        if newest is not None:
            self.behind = max(0.0, (at - newest) / MICROSECONDS_PER_SECOND)
        return self.behind if newest is not None else None

    def idle(self, at: int) -> None:
        """The source was read and had nothing new, and everything before is in the log."""
        self._progress(at)
        if self.behind is not None and not self.silent:
            self.behind = 0.0

    def resumed(self, at: int, now: int) -> None:
        """An earlier process last read the source at `at`, according to the log (0: never)."""
        if not self.progressed_at and 0 < at <= now:
            self.progressed_at = at

    def become_troubled(self, troubles: Mapping[str, str], at: int) -> None:
        """These entities can't be captured for now, and no others."""
        self.troubles = troubles
        self.troubled_since = {name: self.troubled_since.get(name, at) for name in troubles}

    def _progress(self, at: int) -> None:
        # A timestamp in the future is from before the clock was set back.
        previous = self.progressed_at if self.progressed_at <= at else 0
        self.progressed_at = max(previous, at - int(self.silent * MICROSECONDS_PER_SECOND))

    def last(self, at: int) -> SourceStatus:
        """The report as of `at`, with the last committed progress."""
        return self.status(self.progress, at)

    def status(
        self, progress: CheckpointRecord, at: int, changes: int = 0, dead: int = 0
    ) -> SourceStatus:
        """The report as of `at`, with the progress that is committed together with it."""
        self.reported = (self.changes + changes, self.dead + dead)
        return SourceStatus(
            system=self.system,
            state=self.state,
            at=at,
            progressed_at=self.progressed_at or self.started_at,
            reason=self.reason,
            instance=self.instance,
            position=progress.position,
            epoch=progress.epoch,
            behind=self.behind,
            lag_bytes=self.lag_bytes,
            changes=self.reported[0],
            dead=self.reported[1],
            paused={name: asdict(why) for name, why in progress.paused.items()},
            troubles=dict(self.troubles),
            snapshots=tuple(
                {
                    "id": job.id,
                    "entity": job.entity,
                    "rows": job.rows,
                    "total": job.total,
                    "reconcile": job.reconcile,
                    "reason": job.reason,
                    "under_way": number == 0,
                    "waiting": self.waiting.get(job.id, ""),
                }
                for number, job in enumerate(progress.jobs)
            ),
            results=tuple(asdict(result) for result in progress.results),
            owed=self._owed(progress, at),
            remarks=dict(self.remarks),
        )

    def _owed(self, progress: CheckpointRecord, at: int) -> dict[str, dict[str, Any]]:
        """Outstanding work per entity."""
        owed: dict[str, dict[str, Any]] = {}
        for number, job in enumerate(progress.jobs):
            reason = self.waiting.get(job.id, "")
            # Jobs after the first wait for it, unless they already ran and were refused.
            if number == 0 or reason:
                owed[job.entity] = {
                    "since": job.moved_at or at,
                    "reason": f"its snapshot can't continue: {reason or 'no rows were read'}",
                    "lasting": job.id in self.refused,
                }
        for name, why in self.troubles.items():
            since = self.troubled_since.get(name, at)
            owed[name] = {"since": since, "reason": why, "lasting": True}
        for name, pause in progress.paused.items():
            owed[name] = {"since": pause.since, "reason": pause.reason, "lasting": True}
        return owed
