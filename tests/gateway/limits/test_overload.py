"""Ten clients ask for twenty times what is allowed, for simulated hours."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import inf
from random import Random

import pytest

from bridge.gateway.limits.admission_control import AdmissionControl
from bridge.gateway.limits.admission_request import WorkClass
from bridge.model.errors import RetryLater
from bridge.model.specs import SystemLimits, WindowLimit
from tests.gateway.limits.simulated_system import SimulatedSystem

HOURS = 2 * 3600.0
PER_MINUTE = 30
LIMITS = SystemLimits(
    connections=4, queries_per_second=1, burst=3, windows=(WindowLimit(PER_MINUTE, 60.0),)
)
#: Class, seconds between two queries, patience.
CLIENTS = (
    *[(WorkClass.COMMANDS, 30.0, 30.0)],
    *[(WorkClass.AGENTS, 0.8, 5.0)] * 5,
    *[(WorkClass.SURFACES, 1.2, 30.0)] * 2,
    *[(WorkClass.REPLAY, 1.2, inf)] * 2,
)


@pytest.fixture(scope="module")
def overloaded() -> SimulatedSystem:
    system = SimulatedSystem(AdmissionControl(LIMITS), Random(11))  # noqa: S311 - a history
    for work, gap, patience in CLIENTS:
        system.asks_every(gap, HOURS, work, patience)
    system.run()
    return system


def test_it_is_asked_for_about_twenty_times_as_much(overloaded: SimulatedSystem) -> None:
    asks = len(overloaded.started) + len(overloaded.refused)
    assert 15 <= asks / (HOURS * PER_MINUTE / 60) <= 25


def test_the_ceiling_holds_in_every_window(overloaded: SimulatedSystem) -> None:
    """Counted when each query ended, and when each began: the system's count is in between."""
    begun, over = zip(*overloaded.ended, strict=True)
    for times in (sorted(begun), sorted(over)):
        windows = zip(times, times[PER_MINUTE:], strict=False)
        assert all(later - earlier >= 60.0 for earlier, later in windows)
    bursts = zip(sorted(begun), sorted(begun)[LIMITS.burst :], strict=False)
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in bursts)
    assert overloaded.most_running <= 4


def test_what_is_allowed_is_used(overloaded: SimulatedSystem) -> None:
    assert len(overloaded.started) >= 0.9 * HOURS * PER_MINUTE / 60


def test_commands_get_through(overloaded: SimulatedSystem) -> None:
    assert [each for _, each, _ in overloaded.refused if each.work is WorkClass.COMMANDS] == []


@pytest.mark.parametrize("work", [WorkClass.REPLAY, WorkClass.SURFACES])
def test_the_least_urgent_keep_their_floor(overloaded: SimulatedSystem, work: WorkClass) -> None:
    """Of all starts, and never long without one."""
    starts = [at for at, each in overloaded.started if each.work is work]
    assert len(starts) >= 0.0476 * len(overloaded.started), "one of 21: two classes take turns"
    assert max(b - a for a, b in pairwise(starts)) <= 120.0


def test_nothing_waits_for_ever(overloaded: SimulatedSystem) -> None:
    """Everything was answered, and nobody's queue was long."""
    assert len(overloaded.control._queue) == 0
    waits = Counter[WorkClass]()
    for at, each in overloaded.started:
        waits[each.work] = max(waits[each.work], round(at - each.since))
    assert waits[WorkClass.COMMANDS] <= 30
    assert waits[WorkClass.AGENTS] <= 5
    assert waits[WorkClass.REPLAY] <= 15 * 60, "without a deadline, and deaf to refusals"


def test_who_is_refused_hears_why(overloaded: SimulatedSystem) -> None:
    reasons = {str(error).partition(":")[0] for _, _, error in overloaded.refused}
    assert reasons == {"shed", "can't start within its deadline"}
    assert all(isinstance(error, RetryLater) for _, _, error in overloaded.refused)


def test_a_turn_is_taken_only_when_something_happens(overloaded: SimulatedSystem) -> None:
    asks = len(overloaded.started) + len(overloaded.refused)
    assert overloaded.turns <= 2.5 * asks
