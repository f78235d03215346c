"""Requests per second with a burst."""

from __future__ import annotations

from bridge.gateway.limits.ceiling import Admission, Cost


class Pace:
    """In any time of `t` seconds at most `burst + rate * t` requests start.

    The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): one number, the theoretical
    arrival time of the next request, with a tolerance of `burst - 1` intervals. A burst of 1 spaces
    requests evenly.
    """

    def __init__(self, rate: float, burst: int = 1) -> None:
        self.name = f"{rate:g} requests per second"
        self._interval = 1 / rate
        self._burst = max(1, burst)
        self._expected = 0.0
        self._last: tuple[Admission, float] | None = None

    def refusal(self, cost: Cost) -> str:
        """Why never: more requests at once than a burst has."""
        if cost.requests > self._burst:
            return f"makes {cost.requests} requests at once; a burst has {self._burst}"
        return ""

    def earliest(
        self,
        now: float,
        cost: Cost,
        ahead: int = 0,
        kept: float = 0.0,  # noqa: ARG002 - the port
    ) -> float:
        """When the burst's tolerance covers the last of the requests."""
        if not cost.requests:
            return now
        over = cost.requests + ahead - self._burst
        return max(now, self._expected + over * self._interval)

    def charge(self, admission: Admission) -> None:
        """Move the expected time on."""
        self._last = (admission, self._expected)
        at = max(self._expected, admission.started)
        self._expected = at + admission.cost.requests * self._interval

    def end(self, now: float, admission: Admission, used: Cost) -> None:
        """Nothing: what was sent was sent."""

    def cancel(self, admission: Admission) -> None:
        """Given back only if nothing was charged since: an expected time that went over an idle
        gap can't be taken back by subtracting, which would let more through than the rate.
        """
        if self._last is not None and self._last[0] is admission:
            self._expected = self._last[1]
            self._last = None
