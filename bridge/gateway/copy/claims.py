"""What is claimed of each entity, as the cache and its readers see it: published as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.copy.contract import EntityClaim
from bridge.gateway.freshness.barriers import BarrierTracker, BarrierWait
from bridge.gateway.freshness.doubts import Doubts
from bridge.model.freshness import Freshness

MAX_UNPASSED: Final = 100
"""Barriers that may still be passed. Forgetting one settles its fills later, with the next."""


class PublishedClaims:
    """The claims of one system; the same `EntityClaim` objects whatever is followed. Used by one task.

    entities: bare names.
    cache: has its `freshness` set to the claims that hold.
    """

    def __init__(self, entities: Iterable[str], cache: CacheState) -> None:
        self.by_entity = {entity: EntityClaim() for entity in entities}
        self._cache = cache
        self._cache.freshness = {}

    def publish(
        self, tracker: BarrierTracker, doubts: Doubts, followed: Iterable[str], reason: str = ""
    ) -> list[str]:
        """Publish what is proved and not in doubt, of the entities that are followed. `reason`: why all
        are in doubt. Returns those whose claim was given up.
        """
        claims: dict[str, Freshness] = {}
        for entity in followed:
            if not reason and not doubts.is_in_doubt(entity):
                claims[entity] = tracker.claim(entity)
            keys, published = doubts.keys_in_doubt(entity), self.by_entity[entity]
            if keys or published.doubtful:
                published.doubtful = frozenset(keys)
        return self._set(claims)

    def withdraw(self) -> list[str]:
        """Claim nothing. Returns those whose claim was given up."""
        return self._set({})

    def _set(self, claims: dict[str, Freshness]) -> list[str]:
        given_up = []
        for entity, published in self.by_entity.items():
            claim = claims.get(entity)
            if claim is None and published.claim is not None:
                given_up.append(entity)
            published.claim = claim
        if claims != self._cache.freshness:
            self._cache.freshness = claims
        return given_up


class UnsettledFills:
    """The fills whose visibility is needed until a barrier that was begun after them was passed."""

    def __init__(self, cache: CacheState) -> None:
        self._cache = cache
        self._last_fills: dict[int, int] = {}

    def note_begin(self, barrier: int) -> None:
        """A barrier with this number is about to be written."""
        self._last_fills[barrier] = self._cache.last_fill
        if len(self._last_fills) > MAX_UNPASSED:
            del self._last_fills[next(iter(self._last_fills))]

    def settle(self, tracker: BarrierTracker, entities: Iterable[str]) -> int:
        """Settle what every one of these entities has passed; returns how many barriers that were."""
        names = list(entities)
        passed = [
            number
            for number in self._last_fills
            if names and all(tracker.has_passed(BarrierWait(name, number)) for name in names)
        ]
        if passed:
            self._cache.settle(self._last_fills[max(passed)])
            self._last_fills = {n: fill for n, fill in self._last_fills.items() if n > max(passed)}
        return len(passed)


__all__ = ["PublishedClaims", "UnsettledFills"]
