"""So much in any window of a length: requests, or seconds of execution."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Literal

from bridge.gateway.limits.ceiling import Admission, Cost

WindowUnit = Literal["requests", "seconds"]


class SlidingWindow:
    """In no window `(t, t + per]` of the *system's* clock more than `limit`.

    The system counts a request at a time of its own between the request's start and its end here.
    So a request counts from its start, and until `per` seconds after its *end*: of all requests
    that the system could count in one window, the last to start saw every other one still counted.
    `seconds`: a running query counts as its estimate, or as the time that it has run when that is
    more, and then as what it has used. Estimates that were too low are a debt: nothing starts until
    enough has left the window. Where no estimate is too low, the limit is never exceeded.
    Memory: one pair of numbers per ended query that still counts.
    """

    def __init__(self, limit: float, per: float, unit: WindowUnit) -> None:
        self.name = f"{limit:g} {unit} in {per:g} s"
        self._limit = limit
        self._per = per
        self._unit = unit
        self._running: set[Admission] = set()
        self._ended: deque[tuple[float, float]] = deque()
        self._ended_sum: float = 0

    def refusal(self, cost: Cost) -> str:
        """Why never: more requests than a window has. An estimate of time is never refused; a query
        that is estimated at more than the window has waits for an empty one.
        """
        if self._unit == "requests" and cost.requests > self._limit:
            return f"makes {cost.requests} requests; the limit is {self.name}"
        return ""

    def earliest(self, now: float, cost: Cost, ahead: int = 0, kept: float = 0.0) -> float:
        """When enough has left the window. Where it has no room for what is to be kept, nothing is."""
        amount = self._charge_of(cost)
        if not amount:
            return now
        if self._unit == "requests":
            amount += ahead
        amount = min(amount + kept * self._limit, self._limit)
        self._forget(now)
        excess = self._running_sum(now) + self._ended_sum + amount - self._limit
        if excess <= 0:
            return now
        for expiry, ended in self._ended:
            excess -= ended
            if excess <= 0:
                return expiry
        return inf if self._running else self._ended[-1][0]

    def charge(self, admission: Admission) -> None:
        """Count it as running."""
        self._running.add(admission)

    def end(self, now: float, admission: Admission, used: Cost) -> None:
        """Count what it has used, for `per` more seconds."""
        self._running.discard(admission)
        amount = used.requests if self._unit == "requests" else used.seconds
        if amount:
            self._ended.append((now + self._per, amount))
            self._ended_sum += amount

    def cancel(self, admission: Admission) -> None:
        """It never was."""
        self._running.discard(admission)

    def _charge_of(self, cost: Cost) -> float:
        return cost.requests if self._unit == "requests" else cost.seconds

    def _running_sum(self, now: float) -> float:
        if self._unit == "requests":
            return sum(each.cost.requests for each in self._running)
        return sum(max(self._charge_of(each.cost), now - each.started) for each in self._running)

    def _forget(self, now: float) -> None:
        while self._ended and self._ended[0][0] <= now:
            self._ended_sum -= self._ended.popleft()[1]
        if not self._ended:
            self._ended_sum = 0  # What subtracting floats left over.
