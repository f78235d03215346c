"""Whose turn it is: by class with a floor, then by deadline."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.delay_shedding import DelayShedding
from bridge.gateway.limits.request_lane import RequestLane

MAX_PASSED_OVER = 19
"""A class that waits has at least one of 20 starts: a floor of 5 %."""
MAX_WAITING = 10_000
"""Requests of one class that wait at most."""


class AdmissionQueue:
    """Commands, then agents, surfaces and replay, each with a floor; within a class the earliest
    deadline. A request that continues on a connection that is held comes before all: whoever waits
    for that connection waits for it as well.
    """

    def __init__(self, spacing: float = 0.0) -> None:
        self._continuing = RequestLane(DelayShedding(spacing))
        self._lanes = {work: RequestLane(DelayShedding(spacing)) for work in WorkClass}

    def __len__(self) -> int:
        return sum(map(len, self.lanes()))

    def add(self, request: AdmissionRequest) -> bool:
        """Whether there was room for it."""
        lane = self._lane(request)
        if len(lane) >= MAX_WAITING:
            return False
        lane.add(request)
        return True

    def remove(self, request: AdmissionRequest) -> bool:
        """It no longer waits. Returns whether it did."""
        return self._lane(request).remove(request)

    def start(self, request: AdmissionRequest) -> None:
        """It starts: the other lanes that wait were passed over once more."""
        lane = self._lane(request)
        lane.remove(request)
        for other in self._lanes.values():
            if len(other):
                other.passed_over += 1
        lane.passed_over = 0

    def head(self) -> AdmissionRequest | None:
        """Whose turn it is."""
        lanes = [lane for lane in self._lanes.values() if len(lane)]
        due = [lane for lane in lanes if lane.passed_over >= MAX_PASSED_OVER]
        first = [self._continuing] if len(self._continuing) else due or lanes
        return first[0].head() if first else None

    def ahead_of(self, request: AdmissionRequest) -> int:
        """How many of its class would start before a request that is added now. More may, of
        classes that are more urgent.
        """
        return self._lane(request).ahead_of(request)

    def lanes(self) -> Iterator[RequestLane]:
        """All, the most urgent first."""
        yield self._continuing
        yield from self._lanes.values()

    def _lane(self, request: AdmissionRequest) -> RequestLane:
        return self._lanes[request.work] if request.cost.connections else self._continuing
