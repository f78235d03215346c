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
    """By order (mostly the latest start), then first come, first served.

    `passed_over`: starts of other lanes since this one had its last, or began to wait.
    """

    def __init__(self, shedding: DelayShedding) -> None:
        self._shedding = shedding
        self.passed_over = 0
        self._heap: list[tuple[float, int, AdmissionRequest]] = []
        self._waiting: dict[AdmissionRequest, None] = {}
        self._sheddable: dict[AdmissionRequest, None] = {}
        self._orders: list[float] = []
        self._due: list[tuple[float, int, AdmissionRequest]] = []
        self._number = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: AdmissionRequest) -> None:
        """Wait behind all whose order isn't later."""
        if not self._waiting:
            self.passed_over = 0
        self._waiting[request] = None
        if request.sheddable and request.work is not WorkClass.COMMANDS:
            self._sheddable[request] = None
        number = next(self._number)
        insort(self._orders, request.order)
        heappush(self._heap, (request.order, number, request))
        if request.start_by < inf:
            heappush(self._due, (request.start_by, number, request))

    def remove(self, request: AdmissionRequest) -> bool:
        """Whether it was waiting."""
        if request not in self._waiting:
            return False
        del self._waiting[request]
        del self._orders[bisect_left(self._orders, request.order)]
        self._sheddable.pop(request, None)
        if len(self._heap) > 2 * len(self._waiting) + 16:
            for heap in (self._heap, self._due):
                heap[:] = [each for each in heap if each[2] in self._waiting]
                heapify(heap)
        return True

    def __iter__(self) -> Iterator[AdmissionRequest]:
        return iter(list(self._waiting))

    def head(self) -> AdmissionRequest | None:
        """The one that starts next."""
        return self._first(self._heap)

    def next_due(self) -> AdmissionRequest | None:
        """The one that has to start first of those that have a deadline."""
        return self._first(self._due)

    def _first(self, heap: list[tuple[float, int, AdmissionRequest]]) -> AdmissionRequest | None:
        while heap and heap[0][2] not in self._waiting:
            heappop(heap)
        return heap[0][2] if heap else None

    def ahead_of(self, request: AdmissionRequest) -> int:
        """How many would start before a request that is added now."""
        return bisect_right(self._orders, request.order)

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
