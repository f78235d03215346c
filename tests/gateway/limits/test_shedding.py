"""A standing queue is shortened, a burst is not; refusals take connections away for a time."""

from __future__ import annotations

from math import inf, sqrt

import pytest

from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.connection_backoff import QUIET_S, ConnectionBackoff
from bridge.gateway.limits.delay_shedding import DelayShedding
from bridge.gateway.limits.request_lane import RequestLane
from bridge.gateway.limits.slots import Slots


def sheds(shedding: DelayShedding, since: float, until: float) -> list[float]:
    """When one is shed of a queue whose wait stays too long."""
    shedding.is_due(since, since, 2)
    times = []
    while (at := shedding.next_look(since)) < until:
        assert shedding.is_due(at, since, 100)
        times.append(at)
    return times


def test_a_standing_queue_is_shed_by_the_control_law() -> None:
    times = sheds(DelayShedding(), 0.0, 0.9)
    expected = [0.22]
    for count in range(1, len(times)):
        expected.append(expected[-1] + 0.2 / sqrt(count))
    assert times == pytest.approx(expected)
    assert len(times) == 6


def test_a_burst_that_drains_within_the_interval_is_not_shed() -> None:
    shedding = DelayShedding()
    assert not shedding.is_due(0.00, 0.0, 50)
    assert not shedding.is_due(0.15, 0.0, 30)
    assert not shedding.is_due(0.19, 0.18, 5), "below the target once"
    assert not shedding.is_due(0.30, 0.19, 5)
    assert shedding.is_due(0.42, 0.19, 5)


def test_the_last_one_is_never_shed_nor_blamed_for_its_wait() -> None:
    shedding = DelayShedding()
    assert not shedding.is_due(50.0, 0.0, 1)
    assert not shedding.is_due(50.0, 0.0, 2), "the second has only come"
    assert shedding.next_look(0.0) == pytest.approx(50.2)


def test_a_queue_that_grows_again_soon_is_shed_at_the_rate_that_it_had() -> None:
    shedding = DelayShedding()
    first = sheds(shedding, 0.0, 3.0)
    shedding.is_due(3.0, 3.0, 0)
    second = sheds(shedding, 3.0, 4.0)
    assert second[1] - second[0] < (first[1] - first[0]) / 3
    shedding.is_due(4.0, 4.0, 0)
    third = sheds(shedding, 20.0, 21.0)
    assert third[1] - third[0] == pytest.approx(0.2), "forgotten"


def test_a_system_that_allows_one_query_a_second_may_have_a_wait_of_a_second() -> None:
    assert sheds(DelayShedding(spacing=1.0), 0.0, 12.0) == [11.0]


def test_the_least_urgent_is_shed_and_a_command_never() -> None:
    lane = RequestLane(DelayShedding())
    deadlines = (9.0, inf, 5.0, inf)
    requests = [AdmissionRequest(WorkClass.AGENTS, 0.0, each) for each in deadlines]
    fixed = AdmissionRequest(WorkClass.AGENTS, 0.0, sheddable=False)
    for each in (*requests, fixed):
        lane.add(each)
    lane.to_shed(0.0)
    shed: list[AdmissionRequest] = []
    for tenth in range(2, 100):
        while (victim := lane.to_shed(tenth / 10)) is not None:
            lane.remove(victim)
            shed.append(victim)
    assert shed == [requests[3], requests[1], requests[0]]

    commands = RequestLane(DelayShedding())
    for _ in range(5):
        commands.add(AdmissionRequest(WorkClass.COMMANDS, 0.0))
    assert commands.next_shedding() == inf
    assert commands.to_shed(99.0) is None


def test_refusals_take_connections_away_and_quiet_gives_them_back() -> None:
    connections = Slots(4, "connections")
    backoff = ConnectionBackoff(connections)
    assert backoff.next_return == inf
    assert backoff.refused(5.0, started=4.0)
    assert not backoff.refused(5.1, started=4.0), "it began when there were more"
    assert backoff.refused(6.0, started=5.5)
    assert backoff.refused(7.0, started=6.5)
    assert not backoff.refused(8.0, started=7.5), "never below one"
    assert connections.limit == 1
    assert backoff.next_return == 8.0 + QUIET_S
    backoff.give_back(17.9)
    assert connections.limit == 1
    backoff.give_back(18.0)
    assert connections.limit == 2
    backoff.give_back(99.0)
    assert (connections.limit, backoff.next_return) == (4, inf)
