"""A failure that repeats is reported at once, then at growing intervals, then once when it is over.

Loops that try again notice every try (`bridge.observe`); whoever writes lines for people asks here
which of those are news. Pure: the clock is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

REPORT_INTERVALS_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds from one report of a failure to the next; the last one for as long as it takes."""
MAX_REASONS = 4
"""Different reasons of one failure that are reported at once; later ones wait for their interval."""
REOPENED_WITHIN_S = 60.0
"""A failure that comes back so soon after its end is still the same: what flaps is no news each time."""
FORGOTTEN_AFTER_S = 900.0
"""Without another try for so long what fails next has failed anew."""
_DIGITS = re.compile(r"\d+")


class Repeats(NamedTuple):
    """How often something has failed in a row, and for how many seconds."""

    tries: int
    seconds: float


@dataclass(slots=True)
class _Failure:
    began: float
    due: float
    tries: int = 0
    reports: int = 0
    reasons: set[str] = field(default_factory=set)
    last: float = 0.0
    ended: float | None = None
    is_reported: bool = False
    """Since it began, or came back."""


class RetryReports:
    """Which tries of which failures are to be reported. A failure goes by any key."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: dict[Hashable, _Failure] = {}

    def failed(self, key: Hashable, reason: str) -> Repeats | None:
        """One more try has failed; None where nothing about it is news. The same reason with other
        numbers in it (an offset, a time, a port) is the same reason.
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
            failure.ended, failure.is_reported = None, False
        failure.tries += 1
        same = _DIGITS.sub("#", reason)
        is_new = same not in failure.reasons and len(failure.reasons) < MAX_REASONS
        if is_new:
            failure.reasons.add(same)
        elif now < failure.due:
            return None
        interval = REPORT_INTERVALS_S[min(failure.reports, len(REPORT_INTERVALS_S) - 1)]
        failure.due = now + interval
        failure.reports += 1
        failure.is_reported = True
        return Repeats(failure.tries, now - failure.began)

    def is_failing(self, key: Hashable) -> bool:
        """Whether it has failed and hasn't ended since."""
        failure = self._failures.get(key)
        return failure is not None and failure.ended is None

    def ended(self, key: Hashable) -> Repeats | None:
        """It has failed for the last time; None where it hadn't, or nothing of it was reported."""
        failure = self._failures.get(key)
        if failure is None or failure.ended is not None:
            return None
        failure.ended = self._clock()
        if not failure.is_reported:
            return None
        return Repeats(failure.tries, failure.ended - failure.began)
