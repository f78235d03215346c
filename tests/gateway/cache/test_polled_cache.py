"""Without visibility, times and the clock allowance keep the cache right."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bridge.gateway.cache.cache_state import CacheBounds
from bridge.gateway.cache.change_effect import EffectRules
from bridge.gateway.cache.fences import Fences
from tests.gateway.cache.oracle_polled import POLLED_STEPS, PolledDatabase
from tests.gateway.cache.test_cache_machine import NARROW, WIDE


def run(seed: int, steps: int, bounds: CacheBounds) -> int:
    """Random steps, checked after each; how many keys were held then."""
    rng = random.Random(seed)  # noqa: S311 - steps, no secrets
    database = PolledDatabase(bounds)
    held = 0
    for _ in range(steps):
        getattr(database, rng.choice(POLLED_STEPS))(rng.choice)
        database.check()
        held += len(database.cache)
    return held


@pytest.mark.parametrize("bounds", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_stale_is_served_of_a_source_that_is_polled(bounds: CacheBounds) -> None:
    assert sum(run(seed, 100, bounds) for seed in range(200)) > 2_000


def without_allowance(fences: Any, fence: Any, read: Any, _: Any) -> bool:
    return bool(read.number > fence.begun and fence.captured_at <= read.begun_at)


def without_time(fences: Any, fence: Any, read: Any, _: Any) -> bool:
    return bool(read.number > fence.begun)


def over_without_allowance(fences: Any, fence: Any, earliest: int) -> bool:
    return bool(earliest > fence.begun)


def newer_without_allowance(rules: Any, change: Any, fill: Any) -> bool:
    return bool(change.captured_at >= fill.ended_at)


def whole_rows(rules: Any, change: Any) -> bool:
    return bool(change.whole)


def yes(*_: Any) -> bool:
    return True


MUTANTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "fills without the allowance": (Fences, "_is_shown", without_allowance),
    "fills whenever they began after": (Fences, "_is_shown", without_time),
    "released without the allowance": (Fences, "_is_over", over_without_allowance),
    "events without the allowance": (EffectRules, "is_newer", newer_without_allowance),
    "events always replace": (EffectRules, "is_newer", yes),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_guard_that_is_removed_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(AssertionError):
        live_through(10_000)


def live_through(steps: int) -> None:
    """Random runs of so many steps together."""
    for seed in range(steps // 100):
        run(seed, 100, WIDE)
