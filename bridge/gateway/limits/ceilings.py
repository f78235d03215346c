"""All ceilings of one system together."""

from __future__ import annotations

from math import inf

from bridge.gateway.limits.ceiling import QUERY, Admission, Ceiling, Cost, Refusal, Wait
from bridge.gateway.limits.pace import Pace
from bridge.gateway.limits.row_debt import RowDebt
from bridge.gateway.limits.sliding_window import SlidingWindow
from bridge.gateway.limits.slots import Slots
from bridge.model.specs import SystemLimits


class Ceilings:
    """Admits a query under every ceiling, or charges none of them.

    Reads no clock and starts nothing: `now` is a monotonic clock's seconds. Who admits a query ends
    it exactly once, by `end` or `cancel`. `connections`: may be lowered while queries run; `max_rows`:
    rows of one answer at most, which whoever asks keeps; 0: any number.
    """

    def __init__(self, limits: SystemLimits) -> None:
        self.connections = Slots(limits.connections, "connections")
        self._batch_operations = limits.batch_operations
        self.max_rows = limits.max_rows
        self._all: list[Ceiling] = [self.connections]
        if limits.sessions:
            self._all.append(Slots(limits.sessions, "sessions"))
        if limits.queries_per_second:
            self._all.append(Pace(limits.queries_per_second, limits.burst))
        self._all += [SlidingWindow(each.limit, each.per_s, each.unit) for each in limits.windows]
        if limits.rows_per_second:
            self._all.append(RowDebt(limits.rows_per_second))

    def admit(
        self, now: float, cost: Cost = QUERY, kept: float = 0.0
    ) -> Admission | Wait | Refusal:
        """Charge this query to every ceiling, or none: it has to wait for the ceiling that lets it
        through last, or will never be admitted. `kept`: the share of each window that it leaves.
        """
        if reason := self._refusal(cost):
            return Refusal(reason)
        last = Wait(now, "")
        for ceiling in self._all:
            until = ceiling.earliest(now, cost, kept=kept)
            if until > last.until:
                last = Wait(until, ceiling.name)
        if last.until > now:
            return last
        admission = Admission(cost, now)
        for ceiling in self._all:
            ceiling.charge(admission)
        return admission

    def end(self, now: float, admission: Admission, *, seconds: float = -1, rows: int = 0) -> None:
        """The query has ended, whether well or not.

        seconds: of execution, if the system reported it, otherwise the time since the start; rows:
        of the answer.
        """
        elapsed = now - admission.started
        used = admission.cost._replace(seconds=elapsed if seconds < 0 else seconds, rows=rows)
        for ceiling in self._all:
            ceiling.end(now, admission, used)

    def cancel(self, admission: Admission) -> None:
        """Nothing was sent to the system."""
        for ceiling in self._all:
            ceiling.cancel(admission)

    def not_before(
        self, now: float, cost: Cost = QUERY, ahead: int = 0, kept: float = 0.0
    ) -> float:
        """No query of this cost starts earlier, with `ahead` requests before it, unless a running
        query is cancelled or takes less time than was estimated.
        """
        times = (ceiling.earliest(now, cost, ahead, kept) for ceiling in self._all)
        return max((at for at in times if at != inf), default=now)

    def _refusal(self, cost: Cost) -> str:
        if self._batch_operations and cost.operations > self._batch_operations:
            return (
                f"has {cost.operations} operations in one request; the limit is "
                f"{self._batch_operations}"
            )
        return next((why for each in self._all if (why := each.refusal(cost))), "")
