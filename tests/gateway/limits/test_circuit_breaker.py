"""A system that keeps failing is sent probes only, one at a time, and everything once one is answered.

The machine is compared with an oracle that knows only the list of what happened.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.limits.ceiling import QUERY, Admission
from bridge.gateway.limits.circuit_breaker import (
    FIRST_PROBE_S,
    MAX_FAILURES,
    MAX_PROBE_WAIT_S,
    CircuitBreaker,
)


class Step(NamedTuple):
    """after: seconds since the step before; what: start a query, or how the `which`-th one ends."""

    after: float
    what: str
    which: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0, 10.0]),
        st.sampled_from(["start", "start", "start", "fail", "fail", "fail", "answer", "vanish"]),
        st.integers(0, 9),
    ),
    max_size=120,
)


class BreakerRun:
    """What was seen of a breaker: when queries started, and how they ended."""

    def __init__(self, breaker: CircuitBreaker, steps: list[Step]) -> None:
        self.breaker = breaker
        self.now = 100.0
        self.running: list[Admission] = []
        self.log: list[tuple[str, float, Admission]] = []
        self.refused: list[float] = []
        for step in steps:
            self.now += step.after
            self._take(step)

    def _take(self, step: Step) -> None:
        if step.what == "start":
            if not self.breaker.may_start(self.now):
                self.refused.append(self.now)
                return
            admission = Admission(QUERY, self.now)
            self.breaker.started(self.now, admission)
            self.running.append(admission)
            self.log.append(("start", self.now, admission))
            return
        if not self.running:
            return
        admission = self.running.pop(step.which % len(self.running))
        if step.what == "fail":
            self.breaker.failed(self.now, admission, "connection refused")
        elif step.what == "answer":
            self.breaker.answered(admission)
        self.breaker.ended(admission)
        self.log.append((step.what, self.now, admission))


def violations(run: BreakerRun) -> list[str]:
    """What a breaker must not do, worked out from the log alone."""
    wrong: list[str] = []
    row, opened_at, fails, probe = 0, -inf, 0, None
    for what, at, admission in run.log:
        if what == "start":
            if opened_at > -inf:
                if probe is not None:
                    wrong.append(f"{at}: a second probe")
                if at < opened_at + min(FIRST_PROBE_S * 2**fails, MAX_PROBE_WAIT_S) / 2:
                    wrong.append(f"{at}: a probe too early")
                probe = admission
        elif opened_at == -inf:
            row = row + 1 if what == "fail" else 0 if what == "answer" else row
            if row == MAX_FAILURES:
                opened_at, fails, probe = at, 0, None
        elif admission is probe:
            probe = None
            if what == "answer":
                row, opened_at = 0, -inf
            elif what == "fail":
                opened_at, fails = at, fails + 1
    fails_at = [at for what, at, _ in run.log if what == "fail"]
    wrong += [f"{at}: no failure" for at in run.refused if not fails_at or fails_at[0] > at]
    return wrong


@given(STEPS, st.floats(0, 1))
def test_only_one_probe_at_a_time_reaches_a_system_that_fails(
    steps: list[Step], chance: float
) -> None:
    assert violations(BreakerRun(CircuitBreaker(lambda: chance), steps)) == []


@given(STEPS, st.floats(0, 1))
def test_a_query_may_start_again_within_the_longest_wait(steps: list[Step], chance: float) -> None:
    """Whatever happened: once nothing runs any more, the next query goes within 10 s."""
    run = BreakerRun(CircuitBreaker(lambda: chance), steps)
    for admission in run.running:
        run.breaker.ended(admission)
    assert run.breaker.may_start(run.now + MAX_PROBE_WAIT_S)


class _NeverOpens(CircuitBreaker):
    def failed(self, now: float, admission: Admission, reason: str) -> bool:
        return False


class _LetsAllProbe(CircuitBreaker):
    def started(self, now: float, admission: Admission) -> None:
        super().started(now, admission)
        if self.state == "half_open":
            self.state = "open"


class _ListensToOldQueries(CircuitBreaker):
    def answered(self, admission: Admission) -> bool:
        self._probe = admission
        return super().answered(admission)


class _ProbesAtOnce(CircuitBreaker):
    def failed(self, now: float, admission: Admission, reason: str) -> bool:
        opens = super().failed(now, admission, reason)
        self.probe_at = now
        return opens


class _WaitsNoLonger(CircuitBreaker):
    def failed(self, now: float, admission: Admission, reason: str) -> bool:
        opens = super().failed(now, admission, reason)
        self._wait = FIRST_PROBE_S
        return opens


class _OpensByOneFailure(CircuitBreaker):
    def failed(self, now: float, admission: Admission, reason: str) -> bool:
        self._failures = max(self._failures, MAX_FAILURES - 1)
        return super().failed(now, admission, reason)


class _ForgetsNoFailure(CircuitBreaker):
    def answered(self, admission: Admission) -> bool:
        failures = self._failures
        closes = super().answered(admission)
        self._failures = 0 if closes else failures
        return closes


class _WaitsForALostProbe(CircuitBreaker):
    def ended(self, admission: Admission) -> None:
        pass


def failing(breaker: CircuitBreaker, now: float, count: int = MAX_FAILURES) -> None:
    for _ in range(count):
        admission = Admission(QUERY, now)
        breaker.started(now, admission)
        breaker.failed(now, admission, "connection refused")


def behaves(kind: type[CircuitBreaker]) -> list[Any]:
    """The life of one breaker, step by step."""
    breaker = kind(lambda: 1.0)
    old = Admission(QUERY, 90.0)
    breaker.started(90.0, old)
    seen: list[Any] = []
    failing(breaker, 100.0, MAX_FAILURES - 1)
    answer = Admission(QUERY, 100.0)
    breaker.answered(answer)
    failing(breaker, 100.0, MAX_FAILURES - 1)
    seen.append(breaker.may_start(100.0))
    failing(breaker, 100.0, 1)
    seen.append([breaker.may_start(at) for at in (100.0, 100.4, 100.5)])
    breaker.answered(old)
    seen.append(breaker.state)
    probe = Admission(QUERY, 100.5)
    breaker.started(100.5, probe)
    seen.append(breaker.may_start(150.0))
    breaker.ended(probe)
    seen.append(breaker.may_start(150.0))
    for at in (150.0, 160.0, 170.0):
        probe = Admission(QUERY, at)
        breaker.started(at, probe)
        breaker.failed(at, probe, "connection refused")
    seen.append([breaker.may_start(at) for at in (173.9, 174.0)])
    probe = Admission(QUERY, 180.0)
    breaker.started(180.0, probe)
    seen.append(breaker.answered(probe))
    seen.append((breaker.state, breaker.is_untroubled))
    return seen


EXPECTED = [
    True,
    [False, False, True],
    "open",
    False,
    True,
    [False, True],
    True,
    ("closed", True),
]


def test_it_opens_after_five_failures_and_closes_by_one_probe() -> None:
    assert behaves(CircuitBreaker) == EXPECTED


@pytest.mark.parametrize(
    "mutant",
    [
        _NeverOpens,
        _LetsAllProbe,
        _ListensToOldQueries,
        _ProbesAtOnce,
        _WaitsNoLonger,
        _OpensByOneFailure,
        _ForgetsNoFailure,
        _WaitsForALostProbe,
    ],
)
def test_each_guard_is_missed(mutant: type[CircuitBreaker]) -> None:
    assert behaves(mutant) != EXPECTED


def test_the_refusal_says_since_when_why_and_when_the_next_probe_may_go() -> None:
    breaker = CircuitBreaker(lambda: 1.0)
    failing(breaker, 100.0)
    assert breaker.refusal(100.2) == (
        "not asked: its last 5 queries failed, since 0 s (connection refused); the next may probe "
        "it in 0.3 s"
    )
    assert breaker.retry_after(100.2) == pytest.approx(0.3)
    breaker.started(130.0, Admission(QUERY, 130.0))
    assert breaker.refusal(130.0).endswith(
        "since 30 s (connection refused); one query probes it now"
    )
