"""Guards that are removed, so that the torture has to find out: `python -m tests.torture_reads mutants`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.cache.change_effect import EffectRules
from bridge.gateway.cache.fences import Fences
from bridge.gateway.cache.stored_answers import StoredAnswers
from bridge.gateway.copy.applied_log import AppliedLog
from bridge.gateway.copy.change_records import ChangeRecords
from bridge.gateway.freshness.barriers import BarrierTracker, BarrierWait
from bridge.gateway.freshness.doubts import Doubts
from bridge.gateway.freshness.read_floors import NO_FLOOR, ReadFloors
from bridge.model.freshness import FreshnessBound

Patches = list[Any]


def fence_off() -> Patches:
    """Answers are stored whatever was applied meanwhile."""
    return [
        patch.object(Fences, "refuses", lambda *_: False),
        patch.object(Fences, "refuses_list", lambda *_: False),
    ]


def as_of_the_checkpoint() -> Patches:
    """A claim is as young as the time at which the barrier came back."""
    plain = BarrierTracker.set_high_watermarks

    def set_high_watermarks(self: Any, request: Any, watermarks: Any) -> None:
        late = request._replace(barrier=request.barrier._replace(begun_at=time.monotonic()))
        if request is self._request:
            self._request = late
        plain(self, late, watermarks)

    return [patch.object(BarrierTracker, "set_high_watermarks", set_high_watermarks)]


def no_high_watermarks() -> Patches:
    """A barrier counts as passed as soon as its record was read."""
    plain = BarrierTracker.set_high_watermarks

    def set_high_watermarks(self: Any, request: Any, watermarks: Mapping[Any, int]) -> None:
        plain(self, request, dict.fromkeys(watermarks, 0))

    return [patch.object(BarrierTracker, "set_high_watermarks", set_high_watermarks)]


def doubt_ignored() -> Patches:
    """Nothing is ever in doubt, and nothing forgotten once it no longer is."""
    return [
        patch.object(Doubts, "is_in_doubt", lambda *_: False),
        patch.object(AppliedLog, "_end_doubts", lambda *_: None),
    ]


def dead_letter_ignored() -> Patches:
    """A row that failed in capture counts as never changed."""
    return [patch.object(AppliedLog, "_apply_letter", lambda *_: None)]


def earlier_barrier() -> Patches:
    """Who waits is content with a barrier that was begun before, and claims its own time."""
    plain = BarrierTracker.begin

    def begin(self: Any, now: float) -> Any:
        barrier = plain(self, now)
        if barrier is not None:
            self._last = self._outstanding = barrier._replace(begun_at=now + 0.05)
        return self._outstanding if barrier is not None else None

    return [patch.object(BarrierTracker, "begin", begin)]


def partial_row_is_whole() -> Patches:
    """A row without a column that was not sent replaces the one that is held."""
    plain = ChangeRecords.read

    def read(self: Any, entity: str, record: Any, wall_clock: float) -> Any:
        applied = plain(self, entity, record, wall_clock)
        if applied is None:
            return None
        return applied._replace(change=applied.change._replace(whole=True))

    return [patch.object(ChangeRecords, "read", read)]


def lists_by_members_only() -> Patches:
    """A row that comes into a list doesn't change the list."""
    from bridge.gateway.cache.held_answers import HeldAnswers

    plain = HeldAnswers.affected_lists

    def affected_lists(self: Any, entity: str, key: bytes, after: Any) -> Any:
        del after
        return plain(self, entity, key, None)

    return [patch.object(HeldAnswers, "affected_lists", affected_lists)]


def deletes_ignored() -> Patches:
    """A deleted row stays."""
    plain = CacheState.apply

    def apply(self: Any, change: Any) -> None:
        if change.payload is not None:
            plain(self, change)

    return [patch.object(CacheState, "apply", apply)]


def follower_always_there() -> Patches:
    """Who waits for the follower waits for nobody: everything counts as passed when it is measured."""
    return [
        patch.object(
            BarrierTracker,
            "has_passed",
            lambda self, wait: isinstance(wait, BarrierWait) and self._measured >= wait.number,
        ),
        *no_high_watermarks(),
    ]


def staleness_ignored() -> Patches:
    """Any answer is young enough."""
    return [patch.object(FreshnessBound, "is_met_by", lambda *_: True)]


def shown_always() -> Patches:
    """Whatever an answer's snapshot says, it is taken to show every change."""
    return [patch.object(EffectRules, "shows", lambda *_: True)]


def floors_off() -> Patches:
    """A reader may be given an older row than it has seen."""
    return [patch.object(ReadFloors, "floor", lambda *_: NO_FLOOR)]


def late_answers() -> Patches:
    """An answer that comes late replaces a newer one, and what was applied meanwhile."""
    return [patch.object(StoredAnswers, "refuses", lambda *_: False), *fence_off()]


MUTANTS: Mapping[str, Callable[[], Patches]] = {
    each.__name__: each
    for each in (
        fence_off,
        as_of_the_checkpoint,
        no_high_watermarks,
        doubt_ignored,
        dead_letter_ignored,
        earlier_barrier,
        partial_row_is_whole,
        lists_by_members_only,
        deletes_ignored,
        follower_always_there,
        staleness_ignored,
        shown_always,
        floors_off,
        late_answers,
    )
}
