"""Capture, commands and surfaces have their connections; reads get the rest, and never more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import ConnectionUse
from bridge.gateway.limits.duration_estimate import DurationEstimate
from bridge.gateway.limits.reservation import reserve
from bridge.model.specs import SystemLimits

USES = (
    ConnectionUse("capture", 5, "stream, control, snapshot, catalogue, deleted rows"),
    ConnectionUse("commands", 1, "effects"),
    ConnectionUse("catalogue", 1, "catalogue"),
)
PART_USES = st.lists(
    st.builds(
        ConnectionUse,
        st.sampled_from(["capture", "commands", "catalogue"]),
        st.integers(1, 6),
        st.just("work"),
    ),
    max_size=4,
)
LIMITS = st.builds(
    SystemLimits,
    connections=st.integers(1, 30),
    total_connections=st.integers(1, 60),
    surface_connections=st.integers(1, 3),
    processes=st.integers(1, 5),
)


def opened(limits: SystemLimits, uses: list[ConnectionUse], reads: int) -> int:
    """What all processes open when each opens all that it may: one of them captures."""
    count = limits.surface_connections
    for process in range(limits.processes):
        for use in uses:
            if use.part != "capture" or process == 0:
                count += use.connections
        count += reads
    return count


@given(LIMITS, PART_USES)
def test_everything_together_never_exceeds_the_ceiling(
    limits: SystemLimits, uses: list[ConnectionUse]
) -> None:
    reservation = reserve(limits, uses)
    if reservation.problem:
        assert reservation.reads == 0
        return
    assert opened(limits, uses, reservation.reads) == reservation.most <= limits.total_connections
    assert 1 <= reservation.reads <= limits.connections


@given(LIMITS, PART_USES)
def test_reads_have_all_that_is_left(limits: SystemLimits, uses: list[ConnectionUse]) -> None:
    reservation = reserve(limits, uses)
    if reservation.reads < limits.connections:
        assert opened(limits, uses, reservation.reads + 1) > limits.total_connections
    assert bool(reservation.problem) == (reservation.reads == 0)


def test_without_a_ceiling_reads_have_their_own_limit() -> None:
    reservation = reserve(SystemLimits(connections=4, processes=3), USES)
    assert (reservation.reads, reservation.most, reservation.problem) == (4, 24, "")


def test_where_nothing_is_left_the_message_says_how_many_are_needed() -> None:
    limits = SystemLimits(connections=4, total_connections=8)
    problem = reserve(limits, USES).problem
    assert problem == (
        "no connection is left for reads: total_connections is 8, and 8 are reserved (5 capture "
        "(stream, control, snapshot, catalogue, deleted rows), 1 commands (effects), 1 catalogue "
        "(catalogue), 1 surfaces (bridgectl get, check and others)); 9 or more are needed"
    )
    assert reserve(SystemLimits(connections=4, total_connections=9), USES).reads == 1


def test_what_several_processes_share_is_said() -> None:
    reservation = reserve(SystemLimits(connections=4, total_connections=20, processes=3), USES)
    assert reservation.shares == (
        "5 capture (stream, control, snapshot, catalogue, deleted rows)",
        "3 x 1 commands (effects)",
        "3 x 1 catalogue (catalogue)",
        "1 surfaces (bridgectl get, check and others)",
        "3 x 2 reads",
    )
    assert reservation.most == 18


@pytest.mark.parametrize(("durations", "low", "high"), [([1.0] * 9, 1, 1), ([5, 1, 1], 4, 5)])
def test_an_estimate_is_a_maximum_that_is_forgotten_slowly(
    durations: list[float], low: float, high: float
) -> None:
    estimate = DurationEstimate()
    assert estimate.seconds == 0
    for seconds in durations:
        estimate.add(seconds)
    assert low <= estimate.seconds <= high
    for _ in range(200):
        estimate.add(0.5)
    assert estimate.seconds < 0.51


@given(LIMITS, PART_USES)
def test_one_reader_gets_what_all_processes_would(
    limits: SystemLimits, uses: list[ConnectionUse]
) -> None:
    """It may open one connection more to end the sessions of the owner before it."""
    reservation = reserve(limits, uses, one_reader=True)
    if reservation.problem:
        assert reservation.reads == 0
        assert opened(limits, uses, 0) + 1 + 1 > limits.total_connections
        return
    together = opened(limits, uses, 0) + 1 + reservation.reads
    assert together == reservation.most <= limits.total_connections
    assert reservation.reads == limits.connections or together == limits.total_connections


def test_one_reader_is_not_divided_among_the_processes() -> None:
    limits = SystemLimits(connections=4, total_connections=20, processes=3)
    shared, owned = reserve(limits, USES), reserve(limits, USES, one_reader=True)
    assert (shared.reads, owned.reads) == (2, 4)
    assert owned.shares[-1] == "4 reads"
    assert "1 reads (ends sessions of the owner before)" in owned.shares
