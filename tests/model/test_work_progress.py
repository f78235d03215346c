"""What is a stall, by the clock that is handed in."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model.work_progress import Stall, WorkProgress, find_stall

MINUTE = 60_000_000
NOON = 1_000 * MINUTE


def after(minutes: float, work: WorkProgress, limit_s: float = 900) -> Stall | None:
    return find_stall(work, NOON + int(minutes * MINUTE), limit_s)


@pytest.mark.parametrize("kind", ["capture", "entity", "group"])
def test_who_owes_nothing_is_never_stalled(kind: Any) -> None:
    """A quiet source, and an agent that has handled everything."""
    assert after(60 * 24 * 365, WorkProgress(kind, "erp", NOON)) is None


def test_work_without_progress_is_a_stall_after_the_limit_and_not_before() -> None:
    work = WorkProgress("entity", "erp.customer", 0, NOON, "the table is locked")
    assert after(15, work) is None
    assert after(16, work) == Stall("entity", "erp.customer", NOON, "the table is locked")
    assert after(16, work, limit_s=3600) is None
    assert after(2, work, limit_s=60) is not None


def test_what_was_refused_for_good_is_a_stall_at_once() -> None:
    work = WorkProgress("entity", "erp.customer", 0, NOON, "no right to read it", lasting=True)
    assert after(0, work) == Stall("entity", "erp.customer", NOON, "no right to read it")


def test_a_source_that_does_not_answer_is_noticed_within_half_a_minute() -> None:
    work = WorkProgress("capture", "erp", NOON, NOON)
    assert after(0.4, work) is None
    stall = after(0.6, work)
    assert stall is not None
    assert "not answered" in stall.reason
    assert after(0.2, work, limit_s=6) is not None, "a shorter limit holds for it, too"


def test_a_clock_that_was_set_back_hides_no_stall() -> None:
    assert after(-60, WorkProgress("group", "acme.agent.x", NOON, NOON)) is not None
