"""What becomes of a request to capture, for who watches it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.capture.checkpoint.record import SnapshotJob, SnapshotResult
from bridge.capture.report.status_record import TOO_OLD, SourceStatus
from bridge.capture.request_watch import (
    SILENT_AFTER_S,
    STARTED_WITHIN_S,
    belongs_to_request,
    no_loss_to_accept,
    not_carried_out,
    rows_read,
)

NOW = 1_700_000_000_000_000
RUNNING = SourceStatus("erp", "streaming", NOW, NOW)
STOPPED = replace(RUNNING, state="stopped", reason="changes are lost")


@pytest.mark.parametrize(
    ("job_id", "belongs"),
    [("abc", True), ("abc-0", True), ("abc-11", True), ("abcd", False), ("abc-0-1", False)],
)
def test_jobs_of_several_entities_are_numbered(job_id: str, *, belongs: bool) -> None:
    assert belongs_to_request(job_id, "abc") is belongs


def test_rows_count_what_ended_and_what_is_under_way() -> None:
    done = [SnapshotResult("a-0", "customer", 5, 0, "", 0)]
    jobs = [SnapshotJob("a-1", "order", rows=3, total=10), SnapshotJob("a-2", "item")]
    assert rows_read(jobs, done) == (8, 15)


def test_a_table_that_grew_is_never_more_than_all_read() -> None:
    assert rows_read([SnapshotJob("a", "order", rows=12, total=10)], []) == (12, 12)


def test_of_a_job_that_has_not_begun_no_total_is_known() -> None:
    assert rows_read([SnapshotJob("a", "order")], []) == (0, None)


@pytest.mark.parametrize(
    ("status", "within_s"),
    [(RUNNING, SILENT_AFTER_S), (None, SILENT_AFTER_S), (STOPPED, STARTED_WITHIN_S)],
)
def test_a_silent_capture_carries_nothing_out(status: SourceStatus | None, within_s: float) -> None:
    assert not_carried_out("erp", status, within_s) == ""
    why = not_carried_out("erp", status, within_s + 1)
    assert "capture of erp doesn't run" in why
    assert ("changes are lost" in why) == (status is STOPPED)


def test_only_where_capture_runs_there_is_no_loss_to_accept() -> None:
    old = replace(RUNNING, at=NOW - int((TOO_OLD + 1) * 1_000_000))
    assert "as of 0 s ago" in no_loss_to_accept("erp", RUNNING, NOW)
    for status in (None, STOPPED, old):
        assert no_loss_to_accept("erp", status, NOW) == ""
