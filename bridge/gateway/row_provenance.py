"""Where rows of the gateway are from: the answer of a query, or an entry of the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.cache.entry import RowEntry
from bridge.gateway.cache.lists import ListEntry
from bridge.gateway.freshness.read_floors import ReadSpan
from bridge.model.freshness import NEVER, NO_POSITION, Freshness
from bridge.model.provenance import Provenance


@dataclass(frozen=True, slots=True)
class LiveProvenance(Provenance):
    """Of a row that the legacy system answered. read: the query."""

    read: ReadSpan | None = None


class HeldProvenance:
    """Of a row that the cache answered: the claim of its entry, which grows with the follower's for as
    long as the entry is held, and is frozen then.

    entity: `system.entity`.
    entry: of the row, or of the list that it is in.
    """

    __slots__ = ("_cache", "_clock", "_entity", "entry")

    def __init__(
        self,
        entity: str,
        entry: RowEntry | ListEntry,
        cache: CacheState,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.entry = entry
        self._entity = entity
        self._cache = cache
        self._clock = clock

    def provenance(self) -> Provenance:
        """As SupportsProvenance."""
        claim = self._cache.claim_of(self.entry)
        name = self._entity.partition(".")[2]
        proved = None if claim.follower is None else claim.follower.get(name)
        as_of, position = held_claim(claim.read, proved)
        return Provenance(self._entity, "cache", self._wall_time(as_of), position or None)

    def _wall_time(self, as_of: float) -> datetime:
        if as_of == NEVER:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.now(UTC) - timedelta(seconds=self._clock() - as_of)


def held_claim(read: Any, proved: Freshness | None) -> tuple[float, str]:
    """As of and position of an entry: the younger of what its read and what the follower prove. Pure."""
    began = read.began if isinstance(read, ReadSpan) else NEVER
    if proved is None:
        return began, NO_POSITION
    return max(began, proved.as_of), proved.position
