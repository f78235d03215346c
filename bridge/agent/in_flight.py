"""The events of one partition that are in flight: which may start, whose results may be written.
Pure.
Events arrive with rising offsets. Those of one key run one after the other, those of different keys
concurrently. Results are taken in order, up to the first unfinished event, so that the offset
written with them covers exactly what is done.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class InFlightEvent(Generic[Item, Result]):
    """One event in flight; `result` is set once it is finished."""

    offset: int
    key: bytes | None
    item: Item
    finished: bool = False
    results: list[Result] = field(default_factory=list)


class InFlightEvents(Generic[Item, Result]):
    """The unfinished events of a partition, and the results of later events that wait for them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: deque[InFlightEvent[Item, Result]] = deque()
        self._lines: dict[bytes | None, deque[InFlightEvent[Item, Result]]] = {}
        self._ready: deque[InFlightEvent[Item, Result]] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def full(self) -> bool:
        """Whether reading should pause."""
        return len(self._slots) >= self._limit

    def add(self, offset: int, key: bytes | None, item: Item) -> None:
        """Add an event. Raises ValueError if its offset is not greater than the last one's."""
        if self._slots and offset <= self._slots[-1].offset:
            raise ValueError(f"offset {offset} came after {self._slots[-1].offset}")
        slot: InFlightEvent[Item, Result] = InFlightEvent(offset, key, item)
        self._slots.append(slot)
        line = self._lines.setdefault(key, deque())
        line.append(slot)
        if len(line) == 1:
            self._ready.append(slot)

    def start(self) -> InFlightEvent[Item, Result] | None:
        """The next event that may start now, or None. Each is returned once."""
        return self._ready.popleft() if self._ready else None

    def finish(self, slot: InFlightEvent[Item, Result], results: list[Result]) -> None:
        """A started event is done; the next one of its key may start."""
        line = self._lines[slot.key]
        if line[0] is not slot or slot.finished:
            raise ValueError(f"offset {slot.offset} is not the event of its key that was started")
        slot.finished, slot.results = True, results
        line.popleft()
        if line:
            self._ready.append(line[0])
        else:
            del self._lines[slot.key]

    def take(self) -> tuple[list[Result], int] | None:
        """The results up to the first unfinished event, and the offset after them.

        None if there are none. The caller writes them before it takes again.
        """
        results: list[Result] = []
        upto: int | None = None
        while self._slots and self._slots[0].finished:
            slot = self._slots.popleft()
            results.extend(slot.results)
            upto = slot.offset + 1
        return None if upto is None else (results, upto)
