"""Each guard of the ceilings is removed in turn, and seen to be missing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from bridge.gateway.limits import Admission, Ceiling, Ceilings, Cost
from bridge.gateway.limits.pace import Pace
from bridge.gateway.limits.row_debt import RowDebt
from bridge.gateway.limits.sliding_window import SlidingWindow
from bridge.gateway.limits.slots import Slots
from bridge.model.specs import SystemLimits, WindowLimit
from tests.gateway.limits.query_run import QueryRun, over_rows, violations

WINDOW = SystemLimits(connections=5, windows=(WindowLimit(6, 5.0),))
SECONDS = SystemLimits(connections=5, windows=(WindowLimit(6, 5.0, "seconds"),))
PACE = SystemLimits(connections=5, queries_per_second=2, burst=3)
ROWS = SystemLimits(connections=2, rows_per_second=5)


class _CountsFromTheStart(SlidingWindow):
    """A request leaves the window `per` seconds after its start, as loggers of starts have it."""

    def end(self, now: float, admission: Admission, used: Cost) -> None:
        super().end(admission.started, admission, used)


class _ForgetsTheRunning(SlidingWindow):
    def charge(self, admission: Admission) -> None:
        pass


class _EndsTheWindowEarly(SlidingWindow):
    def end(self, now: float, admission: Admission, used: Cost) -> None:
        super().end(now - 1 / 8, admission, used)


class _CountsOneOfEach(SlidingWindow):
    def end(self, now: float, admission: Admission, used: Cost) -> None:
        super().end(now, admission, Cost(seconds=used.seconds))


class _ChargesNoEstimate(SlidingWindow):
    def _charge_of(self, cost: Cost) -> float:
        return 1e-9


class _KeepsIdleTime(Pace):
    def charge(self, admission: Admission) -> None:
        self._expected += admission.cost.requests * self._interval


class _SubtractsWhatIsCancelled(Pace):
    def cancel(self, admission: Admission) -> None:
        self._expected -= admission.cost.requests * self._interval


class _HasOneMoreInItsBurst(Pace):
    def __init__(self, rate: float, burst: int = 1) -> None:
        super().__init__(rate, burst + 1)


class _HasOneMore(Slots):
    def earliest(self, now: float, cost: Cost, ahead: int = 0, kept: float = 0.0) -> float:
        return now if self.in_use <= self.limit else super().earliest(now, cost, ahead)


class _ForgivesDebt(RowDebt):
    def end(self, now: float, admission: Admission, used: Cost) -> None:
        super().end(now, admission, used)
        self._full_at = min(self._full_at, now + 1.0)


Build = Callable[[SystemLimits], Ceiling]


def _window(of: type[SlidingWindow]) -> Build:
    return lambda limits: of(
        limits.windows[0].limit, limits.windows[0].per_s, limits.windows[0].unit
    )


def _pace(of: type[Pace]) -> Build:
    return lambda limits: of(limits.queries_per_second, limits.burst)


MUTANTS: list[tuple[SystemLimits, Build]] = [
    (WINDOW, _window(_CountsFromTheStart)),
    (WINDOW, _window(_ForgetsTheRunning)),
    (WINDOW, _window(_EndsTheWindowEarly)),
    (WINDOW, _window(_CountsOneOfEach)),
    (SECONDS, _window(_ForgetsTheRunning)),
    (SECONDS, _window(_ChargesNoEstimate)),
    (PACE, _pace(_KeepsIdleTime)),
    (PACE, _pace(_SubtractsWhatIsCancelled)),
    (PACE, _pace(_HasOneMoreInItsBurst)),
]


def _seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a history, not a secret


def _is_caught(limits: SystemLimits, build: Build) -> bool:
    for seed in range(200):
        ceilings = Ceilings(limits)
        ceilings._all = [ceilings.connections, build(limits)]
        if violations(limits, QueryRun(ceilings, _seeded(seed)), 200):
            return True
    return False


@pytest.mark.parametrize(("limits", "build"), MUTANTS)
def test_a_ceiling_without_one_of_its_guards_is_caught(limits: SystemLimits, build: Build) -> None:
    assert _is_caught(limits, build)


@pytest.mark.parametrize(
    ("limits", "build"),
    [(WINDOW, _window(SlidingWindow)), (SECONDS, _window(SlidingWindow)), (PACE, _pace(Pace))],
)
def test_a_ceiling_with_all_its_guards_is_not(limits: SystemLimits, build: Build) -> None:
    assert not _is_caught(limits, build)


def test_one_connection_too_many_is_caught() -> None:
    limits = SystemLimits(connections=2)
    ceilings = Ceilings(limits)
    ceilings._all = [_HasOneMore(2, "connections")]
    assert violations(limits, QueryRun(ceilings, _seeded(1)), 200) == ["connections"]


def test_debt_that_is_forgiven_is_caught() -> None:
    ceilings = Ceilings(ROWS)
    ceilings._all = [ceilings.connections, _ForgivesDebt(5)]
    assert over_rows(ROWS, QueryRun(ceilings, _seeded(1), max_rows=200), 200)
    assert not over_rows(ROWS, QueryRun(Ceilings(ROWS), _seeded(1), max_rows=200), 200)
