"""Reports the progress of one member of a consumer group with what it has read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from bridge.model.work_progress import MICROSECONDS, WorkProgress
from bridge.observe import Observer, WorkReported

REPORT_EVERY_S: Final = 10.0
"""At least."""
REPORT_AT_MOST_EVERY_S: Final = 1.0


class GroupProgress:
    """The progress of one member. Call `note` at least every few seconds."""

    def __init__(self, group: str, observer: Observer, clock: Callable[[], datetime]) -> None:
        self._group = group
        self._observer = observer
        self._clock = clock
        self._progressed_at = 0
        self._owed_since: int | None = None
        self._reported_at = 0
        self._reported_owing: bool | None = None

    def note(self, *, owes: bool, progressed: bool, reason: str = "") -> None:
        """Report the current state.
        `owes`: it has read something that it hasn't finished.
        `progressed`: it finished something since the last call.
        `reason`: what it waits for.
        """
        now = int(self._clock().timestamp() * MICROSECONDS)
        if progressed or not owes:
            self._progressed_at = now
            self._owed_since = None
        if owes and self._owed_since is None:
            self._owed_since = now
        self._report(now, reason)

    def _report(self, now: int, reason: str) -> None:
        owes = self._owed_since is not None
        every_s = REPORT_EVERY_S if owes is self._reported_owing else REPORT_AT_MOST_EVERY_S
        if 0 <= now - self._reported_at < every_s * MICROSECONDS:
            return
        self._reported_at, self._reported_owing = now, owes
        work = WorkProgress("group", self._group, self._progressed_at, self._owed_since, reason)
        self._observer(WorkReported((work,)))
