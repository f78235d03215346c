"""The requests of one class that wait."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.delay_shedding import DelayShedding


class RequestLane:
    """Earliest latest start first, then first come, first served.

    `passed_over`: starts of other lanes since this one had its last, or began to wait.
    """

    def __init__(self, shedding: DelayShedding) -> None:
        self._shedding = shedding
        self.passed_over = 0
        self._heap: list[tuple[float, int, AdmissionRequest]] = []
        self._waiting: dict[AdmissionRequest, None] = {}
        self._sheddable: dict[AdmissionRequest, None] = {}
        self._starts_by: list[float] = []
        self._number = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: AdmissionRequest) -> None:
        """Wait behind all whose latest start isn't later."""
        if not self._waiting:
            self.passed_over = 0
        self._waiting[request] = None
        if request.sheddable and request.work is not WorkClass.COMMANDS:
            self._sheddable[request] = None
        insort(self._starts_by, request.start_by)
        heappush(self._heap, (request.start_by, next(self._number), request))

    def remove(self, request: AdmissionRequest) -> bool:
        """Whether it was waiting."""
        if request not in self._waiting:
            return False
        del self._waiting[request]
        del self._starts_by[bisect_left(self._starts_by, request.start_by)]
        self._sheddable.pop(request, None)
        if len(self._heap) > 2 * len(self._waiting) + 16:
            self._heap = [each for each in self._heap if each[2] in self._waiting]
            heapify(self._heap)
        return True

    def __iter__(self) -> Iterator[AdmissionRequest]:
        return iter(list(self._waiting))

    def head(self) -> AdmissionRequest | None:
        """The one that starts next."""
        while self._heap and self._heap[0][2] not in self._waiting:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def ahead_of(self, request: AdmissionRequest) -> int:
        """How many would start before a request that is added now."""
        return bisect_right(self._starts_by, request.start_by)

    def to_shed(self, now: float) -> AdmissionRequest | None:
        """The least urgent request, if one has to go: the latest start, then the youngest."""
        oldest = next(iter(self._sheddable), None)
        since = now if oldest is None else oldest.since
        if not self._shedding.is_due(now, since, len(self._sheddable)):
            return None
        return max(reversed(self._sheddable), key=lambda each: each.start_by)

    def next_shedding(self) -> float:
        """When one may have to go without anything else happening; `inf`: not by waiting alone."""
        if len(self._sheddable) <= 1:
            return inf
        return self._shedding.next_look(next(iter(self._sheddable)).since)
