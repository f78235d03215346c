"""Nothing that the cache serves differs from a state that was true at or after its claim."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.gateway.cache.cache_state import CacheBounds
from tests.gateway.cache.oracle_database import STEPS, OracleDatabase

WIDE = CacheBounds(bytes=1_000_000)
NARROW = CacheBounds(bytes=2_500, fenced_keys=2, transactions=4, answers=3)


class CacheMachine(RuleBasedStateMachine):
    """Writers, follower, readers and evictor in any order."""

    @initialize(bounds=st.sampled_from([WIDE, NARROW]))
    def start(self, bounds: CacheBounds) -> None:
        self.database = OracleDatabase(bounds)

    @rule(step=st.sampled_from(STEPS), data=st.data())
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
        database = run(seed, 100, bounds)
        risky += database.risky
        database.finish()
    assert risky > 2_000


def run(seed: int, steps: int, bounds: CacheBounds) -> OracleDatabase:
    """A database that has lived through so many random steps, checked after each."""
    rng = random.Random(seed)  # noqa: S311 - steps, no secrets
    database = OracleDatabase(bounds)
    for _ in range(steps):
        getattr(database, rng.choice(STEPS))(rng.choice)
        database.check()
    return database
