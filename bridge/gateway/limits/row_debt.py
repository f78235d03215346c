"""Rows per second: how many an answer has is known only when they were read."""

from __future__ import annotations

from bridge.gateway.limits.ceiling import Admission, Cost


class RowDebt:
    """A bucket of one second's rows that answers may overdraw; nothing starts while it is in debt.

    In any time of `t` seconds, answers end that have at most `rate * (t + 1)` rows and those of the
    queries that were running when the debt arose. Rows are counted when the answer has ended, and
    never before by an estimate, since an estimate that is given back could be spent twice.
    """

    def __init__(self, rate: float) -> None:
        self.name = f"{rate:g} rows per second"
        self._rate = rate
        self._full_at = 0.0

    def refusal(self, cost: Cost) -> str:  # noqa: ARG002 - the port
        """Never."""
        return ""

    def earliest(
        self,
        now: float,
        cost: Cost,
        ahead: int = 0,  # noqa: ARG002 - the port
        kept: float = 0.0,  # noqa: ARG002 - the port
    ) -> float:
        """When the debt has been paid."""
        return max(now, self._full_at - 1.0) if cost.requests else now

    def charge(self, admission: Admission) -> None:
        """Nothing yet."""

    def end(self, now: float, admission: Admission, used: Cost) -> None:  # noqa: ARG002 - the port
        """Draw the rows."""
        self._full_at = max(self._full_at, now) + used.rows / self._rate

    def cancel(self, admission: Admission) -> None:
        """Nothing was drawn."""
