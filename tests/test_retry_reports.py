"""What fails again and again is news at once, then seldom, and once more when it is over."""

from __future__ import annotations

from bridge.retry_reports import ANOTHER_REASON_S, MAX_REASONS, REOPENED_WITHIN_S, RetryReports


class RetryClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def reports_of_an_outage(seconds: int, reason: str = "away") -> list[tuple[int, float]]:
    """A try a second for so long: which of them were reported, and how long after the first."""
    clock = RetryClock()
    reports = RetryReports(clock)
    reported: list[tuple[int, float]] = []
    for _ in range(seconds):
        repeats = reports.failed("erp", reason)
        if repeats is not None:
            reported.append((repeats.tries, repeats.seconds))
        clock.now += 1
    return reported


def test_an_outage_is_reported_at_once_then_at_growing_intervals() -> None:
    hour = reports_of_an_outage(3600)
    assert [seconds for _, seconds in hour[:6]] == [0, 10, 40, 100, 220, 520]
    assert len(hour) < 15
    assert all(tries == seconds + 1 for tries, seconds in hour)


def test_an_end_says_how_often_and_for_how_long() -> None:
    clock = RetryClock()
    reports = RetryReports(clock)
    for _ in range(21):
        reports.failed("erp", "away")
        clock.now += 2
    assert reports.ended("erp") == (21, 42)
    assert reports.ended("erp") is None, "it is over once"


def test_another_reason_is_news_the_same_with_other_numbers_is_not() -> None:
    reports = RetryReports(RetryClock())
    assert reports.failed("erp", "busy for 3 s more")
    assert not reports.failed("erp", "busy for 2 s more")
    assert reports.failed("erp", "the password is refused")
    assert not reports.failed("erp", "busy for 1 s more")
    assert reports.failed("crm", "busy for 1 s more"), "another system"


def test_the_same_reason_with_other_blanks_is_no_news() -> None:
    """A driver tells a refused login with one blank in one place, and with two in another."""
    reports = RetryReports(lambda: 0.0)
    assert reports.failed("x", "FATAL: password authentication failed") is not None
    assert reports.failed("x", "FATAL:  password\tauthentication failed\n") is None


def test_reasons_that_never_repeat_are_no_flood() -> None:
    reports = RetryReports(RetryClock())
    texts = [f"reason {'x' * number}" for number in range(100)]
    assert sum(reports.failed("erp", text) is not None for text in texts) == MAX_REASONS


def test_an_outage_of_another_kind_is_reported_although_many_came_before() -> None:
    clock = RetryClock()
    reports = RetryReports(clock)
    for number in range(MAX_REASONS):
        reports.failed("erp", f"reason {'x' * number}")
    reports.ended("erp")
    clock.now += REOPENED_WITHIN_S / 2
    assert reports.failed("erp", "the password is refused"), "after a moment in which all was well"


def test_a_failure_that_changes_for_the_fifth_time_is_silent_for_seconds_at_most() -> None:
    clock = RetryClock()
    reports = RetryReports(clock)
    for number in range(60 * 10):
        reports.failed("erp", f"reason {'x' * (number % MAX_REASONS)}")
        clock.now += 1
    silent_until = clock.now + ANOTHER_REASON_S
    while not reports.failed("erp", "the password is refused"):
        assert clock.now < silent_until
        clock.now += 1


def test_what_comes_and_goes_is_one_failure_until_it_stays_away() -> None:
    clock = RetryClock()
    reports = RetryReports(clock)
    lines = 0
    for _ in range(30):
        lines += reports.failed("erp", "busy") is not None
        clock.now += 0.1
        lines += reports.ended("erp") is not None
        clock.now += 0.9
    assert lines <= 6
    clock.now += REOPENED_WITHIN_S + 1
    assert reports.failed("erp", "busy") == (1, 0)
