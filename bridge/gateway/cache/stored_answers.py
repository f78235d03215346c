"""No answer replaces one that may show more, even if that is evicted meanwhile. Pure.

A read that began after another has come back shows all that the other shows. Of two that were in
flight at once the one that came back first stays, unless it misses what the other shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from bridge.connector import Visibility
from bridge.gateway.cache.fences import InFlight


class _Stored(NamedTuple):
    last_read: int
    visibility: Visibility | None


class StoredAnswers:
    """What was stored while reads were in flight that may bring something older.

    max_keys: how many are remembered; beyond, no read that is in flight now is stored.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._stored: dict[Hashable, _Stored] = {}
        self._order: deque[tuple[int, Hashable]] = deque()
        self._refused_up_to = 0

    def __len__(self) -> int:
        return len(self._stored)

    def refuses(self, name: Hashable, read: InFlight, visibility: Visibility | None) -> bool:
        """Whether an answer of that read may be older than what was stored under that name."""
        if read.number <= self._refused_up_to:
            return True
        stored = self._stored.get(name)
        if stored is None or read.number > stored.last_read:
            return False
        return not self._shows_more(visibility, stored.visibility)

    def store(self, name: Hashable, last_read: int, visibility: Visibility | None) -> None:
        """An answer was stored. `last_read`: the last read that has begun by now."""
        if len(self._order) >= self._max_keys:
            self.refuse_up_to(last_read)
        self._stored[name] = _Stored(last_read, visibility)
        self._order.append((last_read, name))

    def refuse_up_to(self, last_read: int) -> None:
        """No read up to this one is stored any more."""
        self._refused_up_to = last_read
        self._stored.clear()
        self._order.clear()

    def release(self, earliest_in_flight: int) -> None:
        """Forget what was stored before all reads that are in flight."""
        while self._order and self._order[0][0] < earliest_in_flight:
            last_read, name = self._order.popleft()
            stored = self._stored.get(name)
            if stored is not None and stored.last_read == last_read:
                del self._stored[name]

    def _shows_more(self, visibility: Visibility | None, stored: Visibility | None) -> bool:
        """Snapshots of one server are ordered: one that shows something more shows all."""
        if visibility is None or stored is None:
            return False
        return any(visibility.contains(transaction) for transaction in stored.unseen())
