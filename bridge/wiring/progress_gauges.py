"""Whether captures, entities and groups get on, by the rule of `bridgectl status`, as of each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from bridge.model.work_progress import (
    CAPTURE_SILENT_AFTER_S,
    MICROSECONDS,
    WorkProgress,
    find_stall,
)
from bridge.observe import Notice, WorkReported
from bridge.wiring.run_scope import RunScope

Work = tuple[str, str]
"""Kind and name, as of WorkProgress."""


class ProgressGauges:
    """An observer of `WorkReported`. `clock` in microseconds since 1970 UTC."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], int], stalled_after_s: float
    ) -> None:
        self._clock = clock
        self._started_at = clock()
        self._stalled_after_s = stalled_after_s
        self._reports: dict[Work, tuple[WorkProgress, int]] = {}
        self._age = Gauge(
            "bridge_progress_age_seconds",
            "Seconds for which work has waited without progress; 0: it gets on, or has nothing to do",
            ["kind", "name"],
            registry=registry,
        )
        self._stalled = Gauge(
            "bridge_stalled",
            "1 while something that has work to do makes no progress",
            ["kind", "name"],
            registry=registry,
        )

    def declare(self, scope: RunScope) -> None:
        """Make the series of all that this process runs."""
        self._declare("capture", scope.captured)
        self._declare("entity", scope.entities_of(scope.captured))
        self._declare("group", scope.groups)

    def _declare(self, kind: str, names: Iterable[str]) -> None:
        for name in names:
            self._age.labels(kind, name).set_function(partial(self.age, (kind, name)))
            self._stalled.labels(kind, name).set_function(partial(self.is_stalled, (kind, name)))

    def __call__(self, notice: Notice) -> None:
        """Keep the newest report of each."""
        if isinstance(notice, WorkReported):
            now = self._clock()
            self._reports.update({(work.kind, work.name): (work, now) for work in notice.work})

    def age(self, work: Work) -> float:
        """Seconds since something is to be done of which nothing was."""
        since = self._owed_since(work)
        return 0.0 if since is None else max(0.0, (self._clock() - since) / MICROSECONDS)

    def is_stalled(self, work: Work) -> bool:
        """Whether `status` would say so."""
        report = self._reports.get(work)
        since = self._owed_since(work)
        if report is None:
            return self.age(work) > self._stalled_after_s
        progress = replace(report[0], owed_since=since)
        return find_stall(progress, self._clock(), self._stalled_after_s) is not None

    def _owed_since(self, work: Work) -> int | None:
        """What never reported has something to do since the start; what no longer reports, since
        its last report: both would be well for ever otherwise.
        """
        report = self._reports.get(work)
        if report is None:
            return self._started_at
        progress, reported_at = report
        silent_s = (self._clock() - reported_at) / MICROSECONDS
        if progress.owed_since is None and silent_s > CAPTURE_SILENT_AFTER_S:
            return reported_at
        return progress.owed_since
