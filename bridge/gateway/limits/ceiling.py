"""The contract of a ceiling: one published limit of a system, as a state machine.

A ceiling reads no clock. Each method is called with the same monotonic clock's seconds, which never
go back, by one task at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Cost(NamedTuple):
    """What one query uses of its system, or what it has used.

    connections: held until the query ends; sessions: held until then as well (0: it runs in a
    session that is open); requests: HTTP requests or statements; operations: inside one request
    (`$batch`); seconds: of execution, before the query an estimate; rows: of the answer, only known
    afterwards.
    """

    connections: int = 1
    sessions: int = 0
    requests: int = 1
    operations: int = 1
    seconds: float = 0.0
    rows: int = 0


QUERY = Cost()
"""A query on one connection, by one request."""


@dataclass(eq=False, slots=True)
class Admission:
    """One admitted query: what it was charged, and when. Ended exactly once."""

    cost: Cost
    started: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet. `until`: ask again then, `inf`: when a running query has ended; `ceiling`: which."""

    until: float
    ceiling: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Never: the cost is more than the ceiling would let through however long it waited."""

    reason: str


class Ceiling(Protocol):
    """One limit."""

    @property
    def name(self) -> str:
        """What is limited, as a message says it: `connections`, `6000 requests in 300 s`."""
        ...

    def refusal(self, cost: Cost) -> str:
        """Why this cost can never be admitted; empty if it can."""
        ...

    def earliest(self, now: float, cost: Cost, ahead: int = 0, kept: float = 0.0) -> float:
        """No query of this cost may start earlier: `now` if it may start now, `inf` if only the end
        of a running query helps. `ahead`: requests that start first; `kept`: the share of a window
        that this query has to leave to others.
        """
        ...

    def charge(self, admission: Admission) -> None:
        """The query starts. Only called when `earliest` is not later."""
        ...

    def end(self, now: float, admission: Admission, used: Cost) -> None:
        """The query has ended and has used this much."""
        ...

    def cancel(self, admission: Admission) -> None:
        """Nothing was sent: give back as much as can be without exceeding the limit."""
        ...
