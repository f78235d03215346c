"""A system behind its admission control, in simulated time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from bridge.gateway.limits.admission_control import AdmissionControl
from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.ceiling import Admission
from bridge.model.errors import BridgeError


@dataclass
class SimulatedSystem:
    """Runs each query for `takes` seconds, and asks for a turn exactly when it has to be."""

    control: AdmissionControl
    random: Random
    takes: Callable[[Random], float] = lambda random: random.uniform(0.01, 0.5)
    now: float = 0.0
    started: list[tuple[float, AdmissionRequest]] = field(default_factory=list)
    ended: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, AdmissionRequest, BridgeError]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    turns: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._wake_at = inf

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._events, (when, next(self._number), act))

    def ask(self, work: WorkClass, patience: float = inf, *, sheddable: bool = True) -> None:
        deadline = self.now + patience
        self.control.ask(self.now, AdmissionRequest(work, self.now, deadline, sheddable=sheddable))

    def asks_every(self, gap: float, until: float, work: WorkClass, patience: float = inf) -> None:
        """A client that asks again and again, at random times, whatever it hears."""

        def again() -> None:
            self.ask(work, patience)
            later = self.now + self.random.expovariate(1 / gap)
            if later < until:
                self.at(later, again)

        self.at(self.random.uniform(0, gap), again)

    def run(self, until: float = inf) -> None:
        """Until nothing happens any more, or that time."""
        while (next_at := min(self._events[0][0] if self._events else inf, self._wake_at)) < until:
            assert next_at >= self.now
            self.now = next_at
            if self._events and self._events[0][0] <= self.now:
                heappop(self._events)[2]()
            self._turn()

    def _turn(self) -> None:
        turn = self.control.turn(self.now)
        self.turns += 1
        assert turn.again_at > self.now, "it would be asked for turns for ever"
        self._wake_at = turn.again_at
        self.refused += [(self.now, request, error) for request, error in turn.refused]
        for request, admission in turn.started:
            assert request.start_by >= self.now
            self.started.append((self.now, request))
            self.running += 1
            self.most_running = max(self.running, self.most_running)
            self.at(self.now + self.takes(self.random), self._ends(admission))

    def _ends(self, admission: Admission) -> Callable[[], None]:
        def end() -> None:
            self.running -= 1
            self.ended.append((admission.started, self.now))
            self.control.end(self.now, admission, rows=1)

        return end
