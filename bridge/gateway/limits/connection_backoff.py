"""Connections that a system's refusals take away."""

from __future__ import annotations

from math import inf

from bridge.gateway.limits.slots import Slots

QUIET_S = 10.0
"""Seconds without a refusal after which one connection is given back, and then the next."""


class ConnectionBackoff:
    """Only a refusal takes a connection away: 429 or 503 with a time, a time-out of a lock or of a
    statement. How long answers take says nothing: with four connections there is no baseline.
    """

    def __init__(self, connections: Slots) -> None:
        self._connections = connections
        self._most = connections.limit
        self._changed_at = -inf
        self._quiet_since = -inf

    def refused(self, now: float, started: float) -> bool:
        """The system refused a query that began at `started`. Returns whether it took a connection
        away: never the last one, and not when the query began before the last was taken, because
        it says nothing about what is left.
        """
        self._quiet_since = now
        if started < self._changed_at or self._connections.limit <= 1:
            return False
        self._connections.limit -= 1
        self._changed_at = now
        return True

    @property
    def next_return(self) -> float:
        """When a connection is given back if nothing is refused until then; `inf`: none is away."""
        return inf if self._connections.limit >= self._most else self._quiet_since + QUIET_S

    def give_back(self, now: float) -> None:
        """Give back what is due."""
        while self.next_return <= now:
            self._connections.limit += 1
            self._quiet_since += QUIET_S
