"""Each guard of the cache, removed, is seen by the random runs: none is there for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.gateway.cache import cache_state, lists
from bridge.gateway.cache.cache_state import CacheBounds, CacheState
from bridge.gateway.cache.change_effect import EffectRules
from bridge.gateway.cache.fences import Fences
from bridge.gateway.cache.lists import Lists
from bridge.gateway.cache.stored_answers import StoredAnswers
from tests.gateway.cache.test_cache_machine import NARROW, WIDE, run

MAX_STEPS = 10_000
STEPS_PER_RUN = 100


def released_when_shown(fences: Any, number: int | None, _: int) -> bool:
    return number is not None


def shown_at_once(fences: Any, number: int | None) -> Any:
    applied = applied_transaction(fences, number)
    if applied is not None and applied.shown_after is None:
        applied.shown_after = fences.last_read
        fences._releasable.append(fences._unshown.pop(applied.number))
    return applied


def shown_with_transaction(fences: Any, fence: Any, read: Any, visibility: Any) -> bool:
    return bool(fence.transaction is not None or is_shown(fences, fence, read, visibility))


def shown_without_transaction(fences: Any, fence: Any, read: Any, visibility: Any) -> bool:
    return bool(fence.transaction is None or is_shown(fences, fence, read, visibility))


def rows_of_one_key(fences: Any, entity: str, key: bytes, read: Any, visibility: Any) -> bool:
    held = fences._fences.get(entity, {}).get(key, ())
    return any(not fences._is_shown(fence, read, visibility) for fence in held)


def forgetful_merge(fences: Any, entity: str) -> None:
    fences._fences.pop(entity)


def forget_answers(answers: Any, last_read: int) -> None:
    answers._stored.clear()
    answers._order.clear()


def without_after(index: Any, entity: str, key: bytes, after: Any) -> Any:
    return affected(index, entity, key, None)


def without_members(index: Any, entity: str, key: bytes, after: Any) -> Any:
    return affected(index, entity, b"", after)


def without_conditions(index: Any, entity: str, key: bytes, after: Any) -> Any:
    lists_by_change = index._by_change
    index._by_change = {}
    try:
        return affected(index, entity, key, after)
    finally:
        index._by_change = lists_by_change


def without_unavailable(index: Any, entity: str, after: Any) -> Any:
    for fields, of_shape in index._by_values.get(entity, {}).items():
        yield from of_shape.get(lists.values_of(after, fields), ())


def fence_without_members(fence: Any, shape: Any, matches: Any, members: Any) -> bool:
    return fence_affects(fence, shape, matches, ())


def fence_without_values(fence: Any, shape: Any, matches: Any, members: Any) -> bool:
    return fence.key is None or fence.key in members or not shape.by_values


def fence_with_declared_fields(fence: Any, shape: Any, matches: Any, members: Any) -> bool:
    unknown = fence.values is not None and lists.values_of(fence.values, shape.fields) is None
    return fence_affects(fence, shape, matches, members) and not (
        unknown and fence.key is not None and fence.key not in members and shape.by_values
    )


def truncate_without_fence(cache: Any, entity: str, transaction: Any, captured_at: float) -> None:
    cache._held.drop_entity(entity)


def epoch_without_fence(cache: Any, entity: str) -> None:
    cache._held.drop_entity(entity)


def reset_with_reads_in_flight(cache: Any, server: str) -> None:
    cache._is_unusable = no
    cache._fences.clear()
    cache._held.drop_all()


def drop_without_fence(cache: Any, entity: str, key: bytes) -> None:
    for entry in [*cache._held.rows(entity, key), *cache._held.lists_of(entity)]:
        cache._held.drop(entry)


def no(*_: Any, **__: Any) -> bool:
    return False


def yes(*_: Any, **__: Any) -> bool:
    return True


def unless_snapshot(rules: Any, change: Any) -> bool:
    return not change.snapshot


def all_scopes(rules: Any, change: Any, payload: Any, fill: Any, *, same_scope: bool) -> Any:
    return effect(rules, change, payload, fill, same_scope=True)


applied_transaction = Fences._applied
is_shown = Fences._is_shown
affected = Lists.affected
fence_affects = lists.fence_affects
effect = EffectRules.of

MUTANTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "no fences for rows": (Fences, "refuses", no),
    "no fences for lists": (Fences, "refuses_list", no),
    "no fences with a transaction": (Fences, "_is_shown", shown_with_transaction),
    "no fences without a transaction": (Fences, "_is_shown", shown_without_transaction),
    "no fences of all keys": (Fences, "refuses", rows_of_one_key),
    "released before earlier reads come back": (Fences, "_is_past", released_when_shown),
    "released before a read shows it": (Fences, "_applied", shown_at_once),
    "merged fences forget": (Fences, "_merge", forgetful_merge),
    "late answers replace newer ones": (StoredAnswers, "refuses", no),
    "answers beyond the bound are forgotten": (StoredAnswers, "refuse_up_to", forget_answers),
    "shown transactions are applied": (EffectRules, "shows", no),
    "rows replace what may show more": (EffectRules, "is_denied", no),
    "partial rows replace": (EffectRules, "is_replacement", unless_snapshot),
    "deletes without a transaction replace": (EffectRules, "is_newer", yes),
    "events are ignored where a row is held": (EffectRules, "equals", yes),
    "events' rows serve other scopes": (EffectRules, "of", all_scopes),
    "lists by members only": (Lists, "affected", without_after),
    "lists by values only": (Lists, "affected", without_members),
    "lists by other conditions stay": (Lists, "affected", without_conditions),
    "unavailable fields affect no list": (Lists, "_matching", without_unavailable),
    "fences ignore members of lists": (cache_state, "fence_affects", fence_without_members),
    "fences ignore values of lists": (cache_state, "fence_affects", fence_without_values),
    "fences ignore new shapes": (cache_state, "fence_affects", fence_with_declared_fields),
    "TRUNCATE doesn't fence": (CacheState, "truncate", truncate_without_fence),
    "epochs don't fence": (CacheState, "epoch", epoch_without_fence),
    "reads before a reset are stored": (CacheState, "reset", reset_with_reads_in_flight),
    "dropped keys aren't fenced": (CacheState, "drop", drop_without_fence),
}


FORGETFUL = CacheBounds(bytes=6_000, answers=3)
#: Where a guard matters only there: bounds, and whether reads go to a standby.
WORLDS: dict[str, tuple[tuple[CacheBounds, ...], tuple[bool, ...]]] = {
    "answers beyond the bound are forgotten": ((FORGETFUL,), (False,)),
    "rows replace what may show more": ((WIDE,), (True,)),
}
EVERYWHERE = ((WIDE, NARROW), (True, False, False))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_guard_that_is_removed_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(AssertionError, match="claimed"):
        live_through(MAX_STEPS, *WORLDS.get(name, EVERYWHERE))


def live_through(steps: int, bounds: tuple[CacheBounds, ...], is_standby: tuple[bool, ...]) -> None:
    """Random runs of so many steps together."""
    for seed in range(steps // STEPS_PER_RUN):
        run(
            seed,
            STEPS_PER_RUN,
            bounds[seed % len(bounds)],
            is_standby=is_standby[seed % len(is_standby)],
        )
