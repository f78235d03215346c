"""Whether a system that keeps failing is asked at all."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import random
from typing import Literal

from bridge.gateway.limits.ceiling import Admission

MAX_FAILURES = 5
"""Failures in a row after which nothing is sent but probes."""
FIRST_PROBE_S = 0.5
"""Seconds until the first probe, at most; twice as long after each that fails."""
MAX_PROBE_WAIT_S = 10.0
"""Seconds between two probes, at most: so late a system's return may be noticed."""

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Closed: everything may start. Open, after `MAX_FAILURES` in a row: nothing may until the next
    probe is due. Half-open: one query was let through as the probe; its answer closes the breaker,
    its failure opens it for longer (M. Nygard, "Release It!", 2007, "Circuit Breaker").

    Only failures that are the whole system's count: it can't be reached, or doesn't answer. An
    answer ends the row, also one that refuses the query. While the breaker isn't closed, only the
    probe counts: what was sent before says nothing about the present. Waits are random within their
    upper half, so that processes don't probe at the same time.

    Reads no clock: `now` is a monotonic clock's seconds. `random`: between 0 and 1.
    """

    def __init__(self, random: Callable[[], float] = random) -> None:
        self._random = random
        self._failures = 0
        self._wait = FIRST_PROBE_S
        self._probe: Admission | None = None
        self.state: BreakerState = "closed"
        self.since = -inf
        self.probe_at = -inf
        self.reason = ""

    @property
    def is_untroubled(self) -> bool:
        """Whether the last that was heard of the system is an answer."""
        return not self._failures

    @property
    def failures(self) -> int:
        """In a row, probes included."""
        return self._failures

    def may_start(self, now: float) -> bool:
        """Whether a query may start now."""
        return self.state == "closed" or (self.state == "open" and now >= self.probe_at)

    def started(self, now: float, admission: Admission) -> None:
        """A query starts, for which `may_start` was true: where the breaker is open, it is the probe."""
        if self.state == "open" and now >= self.probe_at:
            self.state, self._probe = "half_open", admission

    def answered(self, admission: Admission) -> bool:
        """The system answered this query. Returns whether that closes the breaker."""
        if self.state != "closed" and admission is not self._probe:
            return False
        closes = self.state != "closed"
        self.state, self._probe, self._failures = "closed", None, 0
        self._wait, self.reason = FIRST_PROBE_S, ""
        return closes

    def failed(self, now: float, admission: Admission, reason: str) -> bool:
        """The system didn't answer this query. Returns whether that opens the breaker that was
        closed.
        """
        if self.state != "closed" and admission is not self._probe:
            return False
        self._failures += 1
        self.reason = reason
        opens = self.state == "closed"
        if opens and self._failures < MAX_FAILURES:
            return False
        if opens:
            self.since = now
        else:
            self._wait = min(2 * self._wait, MAX_PROBE_WAIT_S)
        self.state, self._probe = "open", None
        self.probe_at = now + self._wait * (0.5 + self._random() / 2)
        return opens

    def ended(self, admission: Admission) -> None:
        """A query has ended. A probe of which neither is known, because it was cancelled or never
        sent, proves nothing: the next query is the probe.
        """
        if admission is self._probe:
            self.state, self._probe = "open", None

    def refusal(self, now: float) -> str:
        """Why nothing starts, for whoever asks: since when, and when it is tried again."""
        text = (
            f"not asked: its last {self._failures} queries failed, since {now - self.since:.0f} s "
            f"({self.reason}); "
        )
        if self.state == "half_open":
            return f"{text}one query probes it now"
        return f"{text}the next may probe it in {max(0.0, self.probe_at - now):.1f} s"

    def retry_after(self, now: float) -> float:
        """Seconds after which it is worth asking again."""
        return max(self.probe_at - now, FIRST_PROBE_S / 10)
