"""Every ceiling holds at the system's own clock, whatever its callers do."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.limits import QUERY, Admission, Ceilings, Cost, Refusal, Wait
from bridge.model.specs import SystemLimits, WindowLimit
from tests.gateway.limits.query_run import TICK_S, QueryRun, over_rows, violations

windows = st.builds(
    WindowLimit,
    limit=st.integers(2, 8),
    per_s=st.integers(1, 80).map(lambda ticks: ticks * TICK_S),
    unit=st.sampled_from(("requests", "seconds")),
)
limits = st.builds(
    SystemLimits,
    connections=st.integers(1, 5),
    queries_per_second=st.sampled_from((0, 0.5, 1, 3, 8)),
    burst=st.integers(2, 6),
    windows=st.lists(windows, max_size=3).map(tuple),
    rows_per_second=st.sampled_from((0, 5, 50)),
)


def admitted(ceilings: Ceilings, now: float, cost: Cost = QUERY) -> Admission:
    verdict = ceilings.admit(now, cost)
    assert isinstance(verdict, Admission), verdict
    return verdict


@given(limits, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=300)
def test_no_window_of_the_system_has_more_than_its_limit(
    limits: SystemLimits, random: Random
) -> None:
    run = QueryRun(Ceilings(limits), random)
    assert violations(limits, run, 200) == []


@given(
    st.builds(SystemLimits, connections=st.integers(1, 3), rows_per_second=st.integers(1, 40)),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_rows_are_overdrawn_by_the_running_queries_at_most(
    limits: SystemLimits, random: Random
) -> None:
    assert over_rows(limits, QueryRun(Ceilings(limits), random), 150) == []


@given(limits, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_who_comes_back_when_it_was_bidden_is_admitted(
    limits: SystemLimits, random: Random
) -> None:
    """A wait is as long as it has to be, and its end is not just before the time."""
    run = QueryRun(Ceilings(limits), random)
    for _ in range(150):
        run.step()
        verdict = run.ask(Cost(seconds=2.0))
        if isinstance(verdict, Wait) and verdict.until != inf and not run.running:
            run.now = verdict.until
            assert isinstance(run.ask(Cost(seconds=2.0)), Admission)
            run.now = (run.now // TICK_S + 1) * TICK_S


@given(limits, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_who_has_to_wait_is_charged_nothing_anywhere(limits: SystemLimits, random: Random) -> None:
    """Twins: one is also asked for what it can't admit. Both decide the same ever after."""
    eager, spared = Ceilings(limits), Ceilings(limits)
    now, running = 0.0, []
    for _ in range(150):
        now += TICK_S * random.choice((0, 0, 1, 4))
        cost = Cost(requests=random.choice((1, 2)), seconds=1.0)
        verdict = eager.admit(now, cost)
        if isinstance(verdict, Admission):
            running.append((verdict, admitted(spared, now, cost)))
        if running and random.random() < 0.4:
            ours, twins = running.pop(random.randrange(len(running)))
            eager.end(now, ours, rows=3)
            spared.end(now, twins, rows=3)


@given(limits, st.randoms(use_true_random=False), st.integers(0, 5))
@settings(deadline=None)
def test_no_deadline_that_was_called_out_of_reach_can_be_met(
    limits: SystemLimits, random: Random, ahead: int
) -> None:
    """Every query that waits is asked at every tick, and ends at once."""
    run = QueryRun(Ceilings(limits), random)
    run.play(60)
    bound = run.ceilings.not_before(run.now, QUERY, ahead)
    started = 0
    while run.now < bound:
        while isinstance(run.ask(QUERY), Admission):
            run.end(next(iter(run.running)))
            started += 1
        run.now += TICK_S
    assert started <= ahead


def test_sessions_are_held_until_their_query_ends() -> None:
    ceilings = Ceilings(SystemLimits(connections=5, sessions=1))
    first = admitted(ceilings, 0.0, Cost(sessions=1))
    assert ceilings.admit(1.0, Cost(sessions=1)) == Wait(inf, "sessions")
    admitted(ceilings, 1.0, Cost(sessions=0))
    ceilings.end(2.0, first)
    admitted(ceilings, 2.0, Cost(sessions=1))


def test_connections_that_are_taken_away_are_not_handed_out_again() -> None:
    ceilings = Ceilings(SystemLimits(connections=2))
    running = [admitted(ceilings, 0.0), admitted(ceilings, 0.0)]
    ceilings.connections.limit = 1
    ceilings.end(1.0, running[0])
    assert ceilings.admit(1.0) == Wait(inf, "connections")
    ceilings.end(2.0, running[1])
    admitted(ceilings, 2.0)


def test_who_holds_a_connection_continues_when_others_were_taken_away() -> None:
    ceilings = Ceilings(SystemLimits(connections=2))
    for _ in range(2):
        admitted(ceilings, 0.0)
    ceilings.connections.limit = 1
    admitted(ceilings, 1.0, Cost(connections=0))


def test_a_window_that_has_emptied_has_room_for_all_that_it_ever_has() -> None:
    """What adding and subtracting tenths leaves over is forgotten."""
    ceilings = Ceilings(SystemLimits(windows=(WindowLimit(0.7, 60, "seconds"),)))
    for tenths in (1, 2, 3):
        ceilings.end(0.0, admitted(ceilings, 0.0, Cost(seconds=0.1)), seconds=tenths / 10)
    admitted(ceilings, 60.0, Cost(seconds=0.7))


def test_execution_time_beyond_the_estimate_is_a_debt() -> None:
    ceilings = Ceilings(SystemLimits(windows=(WindowLimit(10, 60, "seconds"),)))
    slow = admitted(ceilings, 0.0, Cost(seconds=1))
    admitted(ceilings, 1.0, Cost(seconds=1))
    assert isinstance(ceilings.admit(9.5, Cost(seconds=1)), Wait), "it runs longer than estimated"
    ceilings.end(30.0, slow)
    assert isinstance(ceilings.admit(89.0, Cost(seconds=1)), Wait)


def test_execution_time_that_was_not_used_is_given_back() -> None:
    ceilings = Ceilings(SystemLimits(windows=(WindowLimit(10, 60, "seconds"),)))
    first = admitted(ceilings, 0.0, Cost(seconds=10))
    assert isinstance(ceilings.admit(0.0, Cost(seconds=5)), Wait)
    ceilings.end(1.0, first, seconds=0.5)
    admitted(ceilings, 1.0, Cost(seconds=5))


def test_a_query_estimated_at_more_than_the_window_waits_for_an_empty_one() -> None:
    ceilings = Ceilings(SystemLimits(windows=(WindowLimit(10, 60, "seconds"),)))
    ceilings.end(0.0, admitted(ceilings, 0.0, Cost(seconds=1)), seconds=1)
    assert ceilings.admit(1.0, Cost(seconds=99)) == Wait(60.0, "10 seconds in 60 s")
    admitted(ceilings, 60.0, Cost(seconds=99))


def test_a_cancelled_start_is_given_back_only_where_that_is_safe() -> None:
    ceilings = Ceilings(SystemLimits(queries_per_second=1, burst=2))
    ceilings.cancel(admitted(ceilings, 0.0))
    first, second = admitted(ceilings, 0.0), admitted(ceilings, 0.0)
    ceilings.cancel(first)
    assert ceilings.admit(0.0) == Wait(1.0, "1 requests per second")
    ceilings.cancel(second)
    admitted(ceilings, 0.0)


@pytest.mark.parametrize(
    ("limits", "cost", "reason"),
    [
        (SystemLimits(batch_operations=100), Cost(operations=101), "has 101 operations in one"),
        (SystemLimits(connections=2), Cost(connections=3), "takes 3 connections of 2"),
        (SystemLimits(queries_per_second=5, burst=2), Cost(requests=3), "a burst has 2"),
        (SystemLimits(windows=(WindowLimit(4, 60),)), Cost(requests=5), "4 requests in 60 s"),
    ],
)
def test_what_would_never_be_admitted_is_refused(
    limits: SystemLimits, cost: Cost, reason: str
) -> None:
    verdict = Ceilings(limits).admit(0.0, cost)
    assert isinstance(verdict, Refusal)
    assert reason in verdict.reason
