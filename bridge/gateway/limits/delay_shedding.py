"""When a queue has been too long for too long."""

from __future__ import annotations

from math import inf, sqrt

TARGET_S = 0.020
"""A wait that a queue may have all the time."""
INTERVALS_PER_TARGET = 10
"""The target is 5 to 10 % of the time in which callers react (RFC 8289)."""
FORGET_INTERVALS = 16
"""A queue that grows again sooner than this continues at the rate of shedding that it had."""


class DelayShedding:
    """Controlled delay (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012;
    RFC 8289), for requests in place of packets.

    A wait over `target` that lasts for a whole interval is a standing queue, and no burst: one
    request is shed, the next after an interval, then after interval / sqrt(2), interval / sqrt(3),
    until the wait is below the target. The last one waiting is never shed, as the last packet isn't.
    Two things differ. The wait is that of the oldest request, whenever something happens, because
    requests don't leave in the order of their arrival and a starved queue must be seen as well.
    And the target is never below the time between two starts that the system's own limit demands.
    """

    def __init__(self, spacing: float = 0.0) -> None:
        self._target = max(TARGET_S, spacing)
        self._interval = INTERVALS_PER_TARGET * self._target
        self._below_at = -inf
        self._shed_next = inf
        self._count = 0
        self._first_count = 0
        self._left_at = -inf

    def next_look(self, oldest_since: float) -> float:
        """When `is_due` may become true without anything else happening."""
        return self._ripe_at(oldest_since) if self._shed_next == inf else self._shed_next

    def is_due(self, now: float, oldest_since: float, waiting: int) -> bool:
        """Whether one of `waiting` requests is to be shed now; true is the order to do it. To be
        called whenever one was added or removed.
        """
        if waiting <= 1 or now < oldest_since + self._target:
            self._leave(now)
            return False
        if now < self.next_look(oldest_since):
            return False
        if self._shed_next == inf:
            recent = now < self._left_at + FORGET_INTERVALS * self._interval
            self._count = max(1, self._count - self._first_count) if recent else 1
            self._first_count = self._count
            self._shed_next = now + self._interval / sqrt(self._count)
        else:
            self._count += 1
            self._shed_next += self._interval / sqrt(self._count)
        return True

    def _ripe_at(self, oldest_since: float) -> float:
        return max(oldest_since + self._target, self._below_at) + self._interval

    def _leave(self, now: float) -> None:
        self._below_at = now
        if self._shed_next != inf:
            self._shed_next, self._left_at = inf, now
