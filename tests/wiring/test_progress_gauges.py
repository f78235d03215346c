"""What makes no progress is seen by a scrape, also where nothing reports any more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from bridge.model.work_progress import CAPTURE_SILENT_AFTER_S, MICROSECONDS, WorkProgress
from bridge.observe import WorkReported
from bridge.wiring.progress_gauges import ProgressGauges
from tests.wiring.scopes import scope_of_everything

STALLED_AFTER_S = 900.0
GROUP = "acme.agent.watch"
NAMES = {
    ("capture", "erp"),
    ("entity", "erp.thing"),
    ("entity", "erp.other"),
    ("group", GROUP),
    ("group", "acme.executor.erp"),
}


class ReportedProgress:
    """The gauges, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * MICROSECONDS
        self.registry = CollectorRegistry()
        self.gauges = ProgressGauges(self.registry, lambda: self.now, STALLED_AFTER_S)
        self.gauges.declare(scope_of_everything())

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * MICROSECONDS)

    def report(self, work: WorkProgress) -> None:
        self.gauges(WorkReported((work,)))

    def figures(self, kind: str, name: str) -> tuple[float, float]:
        """Age, and whether it is stalled."""
        labels = {"kind": kind, "name": name}
        age = self.registry.get_sample_value("bridge_progress_age_seconds", labels)
        stalled = self.registry.get_sample_value("bridge_stalled", labels)
        assert age is not None
        assert stalled is not None
        return age, stalled


@pytest.fixture
def progress() -> ReportedProgress:
    return ReportedProgress()


@pytest.mark.parametrize(("kind", "name"), sorted(NAMES))
def test_what_never_began_ages_from_the_start(
    progress: ReportedProgress, kind: str, name: str
) -> None:
    assert progress.figures(kind, name) == (0, 0)
    progress.pass_seconds(STALLED_AFTER_S + 1)
    assert progress.figures(kind, name) == (STALLED_AFTER_S + 1, 1)


def test_what_has_nothing_to_do_is_well_as_long_as_it_says_so(progress: ReportedProgress) -> None:
    idle = WorkProgress("group", GROUP, progress.now)
    for _ in range(200):
        progress.report(idle)
        progress.pass_seconds(10)
    assert progress.figures("group", GROUP) == (0, 0)
    progress.pass_seconds(CAPTURE_SILENT_AFTER_S)
    age, stalled = progress.figures("group", GROUP)
    assert (age, stalled) == (CAPTURE_SILENT_AFTER_S + 10, 0)
    progress.pass_seconds(STALLED_AFTER_S)
    assert progress.figures("group", GROUP)[1] == 1


def test_work_that_waits_ages_while_it_is_reported_and_stops_when_it_gets_on(
    progress: ReportedProgress,
) -> None:
    owing = WorkProgress("group", GROUP, progress.now, owed_since=progress.now)
    for _ in range(100):
        progress.report(owing)
        progress.pass_seconds(10)
    assert progress.figures("group", GROUP) == (1000, 1)
    progress.report(replace(owing, progressed_at=progress.now, owed_since=None))
    assert progress.figures("group", GROUP) == (0, 0)


def test_an_entity_that_was_refused_is_stalled_at_once(progress: ReportedProgress) -> None:
    """As in `status`: waiting alone would change nothing."""
    now = progress.now
    progress.report(WorkProgress("entity", "erp.thing", 0, now, "refused", lasting=True))
    assert progress.figures("entity", "erp.thing") == (0, 1)
    assert progress.figures("entity", "erp.other") == (0, 0)


def test_a_capture_is_stalled_sooner(progress: ReportedProgress) -> None:
    progress.report(WorkProgress("capture", "erp", progress.now, progress.now))
    progress.pass_seconds(CAPTURE_SILENT_AFTER_S + 1)
    assert progress.figures("capture", "erp")[1] == 1
