"""What is held while a query runs: connections, sessions."""

from __future__ import annotations

from math import inf
from typing import Literal

from bridge.gateway.limits.ceiling import Admission, Cost

Held = Literal["connections", "sessions"]


class Slots:
    """At most `limit` at the same time.

    `limit` may be lowered and raised again while queries run: those that hold more than are left
    keep theirs, and nobody is admitted until they have ended. `most`: the limit that it began with.
    """

    def __init__(self, limit: int, of: Held) -> None:
        self.limit = limit
        self.in_use = 0
        self.name: str = of
        self.most = limit

    def refusal(self, cost: Cost) -> str:
        """Why never: more than there are, even when the limit wasn't lowered."""
        count = self._of(cost)
        return f"takes {count} {self.name} of {self.most}" if count > self.most else ""

    def earliest(
        self,
        now: float,
        cost: Cost,
        ahead: int = 0,  # noqa: ARG002 - the port
        kept: float = 0.0,  # noqa: ARG002 - the port
    ) -> float:
        """`now` while enough are free."""
        count = self._of(cost)
        return inf if count and self.in_use + count > self.limit else now

    def charge(self, admission: Admission) -> None:
        """Hold."""
        self.in_use += self._of(admission.cost)

    def end(self, now: float, admission: Admission, used: Cost) -> None:  # noqa: ARG002 - the port
        """Give back what was held, whatever was used."""
        self.in_use -= self._of(admission.cost)

    def cancel(self, admission: Admission) -> None:
        """Give back."""
        self.in_use -= self._of(admission.cost)

    def _of(self, cost: Cost) -> int:
        return cost.connections if self.name == "connections" else cost.sessions
