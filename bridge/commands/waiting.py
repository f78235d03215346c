"""Tells people that commands wait because the other side is away, and when they go on."""

from __future__ import annotations

from bridge.observe import Observer, PartState

PATIENCE = 2
"""Tries in a row that came to nothing before it is told: a lock that isn't given once is no news."""


class Waiting:
    """Of one system's executor: told after each try, tells what is new."""

    def __init__(self, system: str, observer: Observer) -> None:
        self._system = system
        self._observer = observer
        self._told = False

    def tried(self, failures: int, why: str) -> None:
        """So many tries in a row were not through, the last one because of that (empty: nobody is
        away).
        """
        if failures == 0 and self._told:
            self._told = False
            self._observer(PartState("commands", self._system, "running"))
        elif failures >= PATIENCE and why and not self._told:
            self._told = True
            self._observer(PartState("commands", self._system, "retrying", why))
