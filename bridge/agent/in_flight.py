"""The events of one partition that are under way: what may start, what may be written. Pure.

Events come in with rising offsets. Those of one key start one after the other, those of
different keys side by side. What was finished comes out in order, up to the first event that
isn't, so that the offset written with it says exactly what is done.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class InFlightEvent(Generic[Item, Result]):
    """One event on its way; `result` once it is finished."""

    offset: int
    key: bytes | None
    item: Item
    finished: bool = False
    results: list[Result] = field(default_factory=list)


class InFlightEvents(Generic[Item, Result]):
    """The unfinished events of a partition and what came out of those that wait for them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: deque[InFlightEvent[Item, Result]] = deque()
        self._lines: dict[bytes | None, deque[InFlightEvent[Item, Result]]] = {}
        self._ready: deque[InFlightEvent[Item, Result]] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def full(self) -> bool:
        """Whether no more events should be read for now."""
        return len(self._slots) >= self._limit

    def add(self, offset: int, key: bytes | None, item: Item) -> None:
        """An event arrived. Raises ValueError when its offset does not rise."""
        if self._slots and offset <= self._slots[-1].offset:
            raise ValueError(f"offset {offset} came after {self._slots[-1].offset}")
        slot: InFlightEvent[Item, Result] = InFlightEvent(offset, key, item)
        self._slots.append(slot)
        line = self._lines.setdefault(key, deque())
        line.append(slot)
        if len(line) == 1:
            self._ready.append(slot)

    def start(self) -> InFlightEvent[Item, Result] | None:
        """The next event that may start now, if there is one. Each is given out once."""
        return self._ready.popleft() if self._ready else None

    def finish(self, slot: InFlightEvent[Item, Result], results: list[Result]) -> None:
        """An event that was started is done; the next of its key may start."""
        line = self._lines[slot.key]
        if line[0] is not slot or slot.finished:
            raise ValueError(f"offset {slot.offset} is not the event of its key under way")
        slot.finished, slot.results = True, results
        line.popleft()
        if line:
            self._ready.append(line[0])
        else:
            del self._lines[slot.key]

    def take(self) -> tuple[list[Result], int] | None:
        """Results of what is done up to the first unfinished event, and the offset after it.

        None when nothing is. The caller writes them before it takes again.
        """
        results: list[Result] = []
        upto: int | None = None
        while self._slots and self._slots[0].finished:
            slot = self._slots.popleft()
            results.extend(slot.results)
            upto = slot.offset + 1
        return None if upto is None else (results, upto)
