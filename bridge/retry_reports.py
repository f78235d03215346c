"""A failure that repeats is reported at once, then at growing intervals, then once when it is over.

Retry loops report every try (`bridge.observe`); whoever writes lines for people decides here which
of those are news. Pure: the time is a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

REPORT_INTERVALS_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds between reports of a failure; the last interval repeats."""
MAX_REASONS = 4
"""How many different reasons of one failure, or of one recurrence of it, are reported
immediately.
"""
ANOTHER_REASON_S = 30.0
"""Seconds until a further reason is reported: a failure that has changed must not be silent for
minutes.
"""
MAX_REMEMBERED = 100
"""How many reasons of one failure are remembered, so that ever-changing texts can't grow without
limit.
"""
REOPENED_WITHIN_S = 60.0
"""Seconds within which a failure that recurs is still the same one, so that flapping isn't news
each time.
"""
FORGOTTEN_AFTER_S = 900.0
"""Seconds without a try after which the next failure is a new one."""
_DIGITS = re.compile(r"\d+")


class RepeatedFailure(NamedTuple):
    """How often something has failed in a row, and for how many seconds."""

    tries: int
    seconds: float


@dataclass(slots=True)
class _Failure:
    began: float
    due: float
    tries: int = 0
    reports: int = 0
    reported_at: float = 0.0
    reasons: set[str] = field(default_factory=set)
    new_reasons: int = 0
    """Since it began, or came back."""
    last: float = 0.0
    ended: float | None = None
    is_reported: bool = False
    """Since it began, or came back."""

    def is_news(self, reason: str, now: float) -> bool:
        """Whether to report this try; a reported reason is remembered."""
        is_new = reason not in self.reasons and len(self.reasons) < MAX_REMEMBERED
        if is_new and (
            self.new_reasons < MAX_REASONS or now >= self.reported_at + ANOTHER_REASON_S
        ):
            self.reasons.add(reason)
            self.new_reasons += 1
            return True
        return now >= self.due


class RetryReports:
    """Decides which tries of which failures are reported. Failures are identified by any hashable
    key.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: dict[Hashable, _Failure] = {}

    def failed(self, key: Hashable, reason: str) -> RepeatedFailure | None:
        """One more try has failed; None if it needs no report. Reasons that differ only in numbers
        (an offset, a time, a port) or in blanks are the same reason.
        """
        now = self._clock()
        failure = self._failures.get(key)
        if (
            failure is None
            or now - failure.last > FORGOTTEN_AFTER_S
            or (failure.ended is not None and now - failure.ended > REOPENED_WITHIN_S)
        ):
            failure = self._failures[key] = _Failure(now, now)
        failure.last = now
        if failure.ended is not None:
            failure.ended, failure.is_reported, failure.new_reasons = None, False, 0
        failure.tries += 1
        same = " ".join(_DIGITS.sub("#", reason).split())
        if not failure.is_news(same, now):
            return None
        interval = REPORT_INTERVALS_S[min(failure.reports, len(REPORT_INTERVALS_S) - 1)]
        failure.due, failure.reported_at = now + interval, now
        failure.reports += 1
        failure.is_reported = True
        return RepeatedFailure(failure.tries, now - failure.began)

    def is_failing(self, key: Hashable) -> bool:
        """Whether it has failed and not ended since."""
        failure = self._failures.get(key)
        return failure is not None and failure.ended is None

    def ended(self, key: Hashable) -> RepeatedFailure | None:
        """The failure is over; None if there was none, or none of it was reported."""
        failure = self._failures.get(key)
        if failure is None or failure.ended is not None:
            return None
        failure.ended = self._clock()
        if not failure.is_reported:
            return None
        return RepeatedFailure(failure.tries, failure.ended - failure.began)
