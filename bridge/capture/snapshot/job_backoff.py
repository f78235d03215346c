"""Jobs that can't continue now: for which poll of the source each waits, or until when, and why.

Pure: the time is a parameter, in seconds. The state is lost with the connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.capture.checkpoint.record import AFTERWARDS_PREFIX, SnapshotJob
from bridge.capture.contract import CaptureLimits

POLLS_AFTER_SNAPSHOT = 2
"""The second poll emitted from now on began later than now."""


LASTING_REFUSALS = 3
"""Consecutive refusals for the same reason after which it isn't expected to pass by itself."""


@dataclass(frozen=True, slots=True)
class _JobRefusal:
    """A refused job is not retried before `until`, which is `wait` seconds after the last of its
    consecutive refusals for this reason.
    """

    until: float
    wait: float
    why: str
    times: int = 1


class JobBackoff:
    """Decides which job continues next."""

    def __init__(self, limits: CaptureLimits) -> None:
        self._limits = limits
        self._polls = 0
        self._due: dict[str, int] = {}
        self._refused: dict[str, _JobRefusal] = {}

    @property
    def reasons(self) -> Mapping[str, str]:
        """Job id -> why it was refused, until it makes progress."""
        return {job: refusal.why for job, refusal in self._refused.items()}

    @property
    def lasting(self) -> frozenset[str]:
        """The ids of jobs that were refused for the same reason repeatedly."""
        return frozenset(
            job for job, refusal in self._refused.items() if refusal.times >= LASTING_REFUSALS
        )

    def note_polls(self, polls: int) -> None:
        """The source has emitted everything of `polls` complete polls."""
        self._polls = polls

    def refuse(self, job: SnapshotJob, why: str, now: float) -> None:
        """The job can't be read: it is retried after a growing wait."""
        previous, limits = self._refused.get(job.id), self._limits
        wait = min(previous.wait * 2 if previous else limits.backoff, limits.longest_backoff)
        times = previous.times + 1 if previous is not None and previous.why == why else 1
        self._refused[job.id] = _JobRefusal(now + wait, wait, why, times)

    def succeed(self, job: SnapshotJob) -> None:
        """A part of the job was read."""
        self._refused.pop(job.id, None)

    def first(self, jobs: Sequence[SnapshotJob], now: float) -> SnapshotJob | None:
        """The first job that can continue now, skipping those that wait."""
        first = next((job for job in jobs if not self._waits(job, now)), None)
        ids = {job.id for job in jobs}
        self._due = {job: poll for job, poll in self._due.items() if job in ids}
        self._refused = {job: refusal for job, refusal in self._refused.items() if job in ids}
        return first

    def _waits(self, job: SnapshotJob, now: float) -> bool:
        refused = self._refused.get(job.id)
        if refused is not None and now < refused.until:
            return True
        if not job.id.startswith(AFTERWARDS_PREFIX):
            return False
        return self._polls < self._due.setdefault(job.id, self._polls + POLLS_AFTER_SNAPSHOT)
