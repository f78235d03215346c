"""An agent's reads in a window and for one event, compared with all windows counted by brute force."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.budgeted_reads import BudgetedReads
from bridge.gateway.limits import read_budget
from bridge.gateway.limits.read_budget import ReadBudget
from bridge.model.errors import Rejected, RetryLater
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.specs import BudgetSpec
from bridge.observe import Notice, ReadRefused
from tests.gateway.test_limiter import SteppedClock

CALLS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 7.0]), st.integers(1, 6)), max_size=60)


def taken(budget: ReadBudget, calls: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """What was let through, and when. A refusal is right about when enough is free."""
    now, through = 0.0, []
    for after, count in calls:
        now += after
        refusal = budget.take(now, count, None)
        if isinstance(refusal, RetryLater):
            assert refusal.after is not None
            now += refusal.after
            refusal = budget.take(now, count, None)
        if refusal is None:
            through.append((now, count))
    return through


def worst(through: list[tuple[float, int]], per_s: float) -> int:
    return max(
        (sum(n for at, n in through if end - per_s < at <= end) for end, _ in through), default=0
    )


@given(CALLS)
def test_no_window_has_more_than_the_budget(calls: list[tuple[float, int]]) -> None:
    through = taken(ReadBudget("watch", BudgetSpec(10, 10.0)), calls)
    assert worst(through, 10.0 - 1e-6) <= 10
    assert len(through) == len(calls), "all of them fit sooner or later"


class _ForgetsAtOnce(ReadBudget):
    def _add(self, now: float, count: int) -> None:
        super()._add(now - self._limits.per_s / 2, count)


class _CountsCalls(ReadBudget):
    def _add(self, now: float, count: int) -> None:
        super()._add(now, 1)


class _LeavesWithTheFirst(ReadBudget):
    def _add(self, now: float, count: int) -> None:
        if self._used and now - self._used[-1][0] < self._limits.per_s / read_budget.GROUPS:
            began, leaves_at, amount = self._used.pop()
            self._used.append((began, leaves_at, amount + count))
            self._sum += count
        else:
            super()._add(now, count)


@pytest.mark.parametrize("mutant", [_ForgetsAtOnce, _CountsCalls, _LeavesWithTheFirst])
def test_each_guard_is_missed(mutant: type[ReadBudget]) -> None:
    calls = [(0.05, 1), (0.05, 5), (0.0, 4), (9.96, 6)] * 8
    limits = BudgetSpec(10, 10.0)
    assert worst(taken(ReadBudget("watch", limits), calls), 10.0 - 1e-6) <= 10
    assert worst(taken(mutant("watch", limits), calls), 10.0 - 1e-6) > 10


def test_the_refusal_says_which_budget_how_much_and_when_again() -> None:
    budget = ReadBudget("watch", BudgetSpec(10, 60.0))
    assert budget.take(100.0, 8, None) is None
    refusal = budget.take(130.0, 3, None)
    assert isinstance(refusal, RetryLater)
    assert refusal.after == 30.0
    assert str(refusal) == (
        "agent 'watch' has used 8 of its budget of 10 reads in 60 s (`budgets` of the bridge's "
        "file); 3 more are free in 30.0 s"
    )
    assert budget.take(130.0, 2, None) is None, "a refused read uses nothing"
    never = budget.take(130.0, 11, None)
    assert isinstance(never, Rejected)
    assert never.code == "over_budget"


def test_an_attempt_at_an_event_has_its_own_budget_and_the_next_attempt_begins_anew() -> None:
    budget = ReadBudget("watch", BudgetSpec(per_event=5))
    first, other = (ReadCause("watch", "check", f"erp:{number}") for number in (1, 2))
    assert [budget.take(0.0, 2, first) for _ in range(2)] == [None, None]
    refusal = budget.take(0.0, 2, first)
    assert isinstance(refusal, Rejected)
    assert refusal.code == "over_budget"
    assert "may read 5 rows for one event" in str(refusal)
    assert "wants 6 for erp:1" in str(refusal)
    assert budget.take(0.0, 1, first) is None
    assert budget.take(0.0, 5, other) is None
    again = ReadCause(*first)
    assert budget.take(0.0, 5, again) is None


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_budget, "MAX_EVENTS", 10)
    budget = ReadBudget("watch", BudgetSpec(1_000_000, 60.0, 5))
    for number in range(5000):
        assert budget.take(number / 100, 1, ReadCause("watch", "check", str(number))) is None
    assert len(budget._events) <= 10
    assert len(budget._used) <= read_budget.GROUPS + 1


class RecordedReads:
    """Answers nothing; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            self.calls.append(name)
            return args

        return call


async def test_every_way_to_read_counts_and_nothing_is_asked_once_it_is_used_up() -> None:
    seen: list[Notice] = []
    clock, counted = SteppedClock(), RecordedReads()
    budget = ReadBudget("watch", BudgetSpec(6, 60.0))
    reads = BudgetedReads(counted, budget, seen.append, clock)
    demands = ReadDemands(cause=ReadCause("watch"))
    await reads.get("erp.order", 1, demands)
    await reads.get_many("erp.order", [1, 2, 3], demands)
    await reads.related("erp.order", {}, "lines", demands)
    await reads.query("erp.order", {"status": "open"}, 10, demands)
    with pytest.raises(RetryLater, match="has used 6 of its budget of 6 reads in 60 s"):
        await reads.get("erp.order", 1, demands)
    assert counted.calls == ["get", "get_many", "related", "query"]
    [notice] = seen
    assert isinstance(notice, ReadRefused)
    assert (notice.system, notice.work, notice.cause) == ("erp", "agents", "budget")
    clock.now += 60
    await reads.get("erp.order", 1, demands)
