"""What one reader has read of entities whose peers' answers are kept, so that none of these goes
back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, Final

from bridge.gateway.peers.peer_group import Values

MAX_LATEST_READS: Final = 10_000

Fields = tuple[str, ...]
ReadKey = tuple[str, Fields, Values]
"""Entity, fields, and their values in the source's form: a row by its key, or the list of rows that
hold the values.
"""
Seen = tuple[ReadKey, Any]
"""With what was answered: the row, or the first of the list, as one object for each query; None."""


class LatestReads:
    """When a reader last saw a row, or a list.

    An answer would go back if it was asked for before another was there that the reader saw.
    entities: whose reads are noted.
    """

    def __init__(self, max_reads: int = MAX_LATEST_READS) -> None:
        self.entities: set[str] = set()
        self._max_reads = max_reads
        self._latest: dict[ReadKey, tuple[float, Any]] = {}
        self._common = -inf

    def note(self, seen: Iterable[Seen], ended_at: float) -> None:
        """The reader saw these; their answer was there at `ended_at`."""
        latest = self._latest
        for key, answer in seen:
            before = latest.pop(key, None)
            is_later = before is None or before[0] <= ended_at
            latest[key] = (ended_at, answer) if is_later or before is None else before
            if len(latest) > self._max_reads:
                self._common = max(self._common, latest.pop(next(iter(latest)))[0])

    def allows(self, seen: Iterable[Seen], asked_at: float) -> bool:
        """Whether the reader may be given these, which were asked for at `asked_at`."""
        if asked_at < self._common:
            return False
        for key, answer in seen:
            latest = self._latest.get(key)
            if latest is not None and asked_at < latest[0] and latest[1] is not answer:
                return False
        return True
