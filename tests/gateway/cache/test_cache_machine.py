"""Nothing that the cache serves differs from a state that was true at or after its claim."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.gateway.cache.cache_state import CacheBounds
from tests.gateway.cache.oracle_database import RARE, USUAL, OracleDatabase

WIDE = CacheBounds(bytes=1_000_000)
NARROW = CacheBounds(bytes=6_000, fenced_keys=2, transactions=5, answers=8)


class CacheMachine(RuleBasedStateMachine):
    """Writers, follower, readers and evictor in any order."""

    @initialize(bounds=st.sampled_from([WIDE, NARROW]), is_standby=st.booleans())
    def start(self, bounds: CacheBounds, is_standby: bool) -> None:
        self.database = OracleDatabase(bounds, is_standby=is_standby)

    @rule(step=st.sampled_from(USUAL * 2 + RARE), data=st.data())
    def happen(self, step: str, data: st.DataObject) -> None:
        getattr(self.database, step)(lambda options: data.draw(st.sampled_from(options)))

    @invariant()
    def hold(self) -> None:
        if hasattr(self, "database"):
            self.database.check()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.finish()


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("bounds", [WIDE, NARROW], ids=["wide", "narrow"])
def test_long_random_runs_serve_nothing_stale(bounds: CacheBounds) -> None:
    risky = 0
    for seed in range(100):
        database = run(seed, 100, bounds, is_standby=seed % 3 == 0)
        risky += database.risky
        database.finish()
    assert risky > 2_000


def run(seed: int, steps: int, bounds: CacheBounds, *, is_standby: bool) -> OracleDatabase:
    """A database that has lived through so many random steps, checked after each."""
    rng = random.Random(seed)  # noqa: S311 - steps, no secrets
    database = OracleDatabase(bounds, is_standby=is_standby)
    # Each run has its own mixture, so that rare sequences are frequent in some.
    mixture = [step for step in USUAL for _ in range(rng.choice([3, 4, 8]))]
    mixture += [step for step in RARE for _ in range(rng.choice([0, 1, 3, 6]))]
    for _ in range(steps):
        getattr(database, rng.choice(mixture))(rng.choice)
        database.check()
    return database
