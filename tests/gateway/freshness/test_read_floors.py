"""No reader ever sees an older state of a row than it has seen before."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from bridge.gateway.freshness.read_floors import (
    NO_FLOOR,
    ReadFloor,
    ReadFloors,
    ReadSpan,
    higher,
)
from bridge.model.freshness import NEVER, NO_POSITION, Freshness
from bridge.model.position import format_position

ROW = ("order", b"1")
TIMES = st.integers(0, 9)


def at(time: int) -> str:
    return format_position(0, time, 0)


def claim_of(time: int) -> Freshness:
    return Freshness("erp", 0, at(time), float(time))


# A row that is changed at each whole second. A step is (kind, row, three times in order): what an
# answer claims, what it shows, and for a live read when its answer was there.
STEPS = st.tuples(
    st.sampled_from(["live", "log", "filled", "again"]),
    st.integers(0, 2),
    st.tuples(TIMES, TIMES, TIMES).map(sorted),
)


@given(st.lists(STEPS, max_size=12))
@example([("live", 0, [2, 5, 5]), ("live", 0, [1, 2, 6]), ("again", 0, [0, 0, 0])])
@example([("live", 0, [0, 1, 1]), ("filled", 0, [0, 0, 1])])
@example([("log", 0, [1, 5, 5]), ("log", 0, [2, 3, 3])])
def test_an_answer_that_meets_the_floor_is_never_older_than_one_before(
    steps: list[tuple[str, int, list[int]]],
) -> None:
    floors = ReadFloors(max_floors=2)
    newest: dict[int, int] = {}
    last: dict[int, tuple[ReadSpan, int]] = {}
    for number, (kind, row, (low, middle, high)) in enumerate(steps, 1):
        state = middle
        key, span = ("order", bytes([row])), ReadSpan(number, float(low), float(high))
        if kind == "live":
            # What has been sent and answered is returned by the floor of whoever asked.
            last[row] = (span, state)
            if state >= newest.get(row, 0):
                floors.note_live(key, span)
                newest[row] = state
            continue
        claim, filled_by, position = claim_of(low), None, at(state)
        if kind != "log":
            if kind == "again" and row in last:
                span, state = last[row]
                claim = claim_of(min(low, state))
            filled_by, position = span, NO_POSITION
        if floors.floor(key).is_met_by(claim, filled_by):
            assert state >= newest.get(row, 0)
            floors.note_copy(key, claim, position, filled_by)
            newest[row] = state


def test_a_copy_filled_by_the_read_itself_or_by_a_later_one_is_enough() -> None:
    """Otherwise each second read of an agent would need a barrier."""
    floors = ReadFloors()
    read = ReadSpan(1, 3.0, 4.0)
    floors.note_live(ROW, read)
    floor = floors.floor(ROW)
    assert floor.is_met_by(claim_of(1), read)
    assert floor.is_met_by(claim_of(1), ReadSpan(2, 4.0, 4.5))
    assert floor.is_met_by(claim_of(4))
    assert not floor.is_met_by(claim_of(1), ReadSpan(3, 3.5, 4.5))
    assert not floor.is_met_by(claim_of(3))


def test_of_reads_that_overlap_neither_contains_the_other() -> None:
    first, second = ReadSpan(4, 1.0, 4.0), ReadSpan(5, 2.0, 5.0)
    floor = higher(ReadFloor(NO_POSITION, first), ReadFloor(NO_POSITION, second))
    assert not floor.is_met_by(claim_of(1), first)
    assert not floor.is_met_by(claim_of(1), second)
    assert floor.is_met_by(claim_of(1), ReadSpan(6, 5.0, 6.0))
    assert floor.is_met_by(claim_of(5))


def test_a_copy_may_show_more_than_it_claims() -> None:
    """After the follower began again, its claim says nothing of what it had applied."""
    floors = ReadFloors()
    floors.note_copy(ROW, claim_of(2), at(6))
    assert not floors.floor(ROW).is_met_by(claim_of(5))
    assert floors.floor(ROW).is_met_by(claim_of(6))


def test_rows_read_long_ago_share_one_floor_and_memory_is_bounded() -> None:
    floors = ReadFloors(max_floors=2)
    for number in (5, 1, 2):
        floors.note_copy(("order", bytes([number])), claim_of(number))
    for number in (5, 1, 2, 7):
        assert floors.floor(("order", bytes([number]))).position == at(5)


def test_nothing_read_asks_for_nothing() -> None:
    assert ReadFloors().floor(ROW) == NO_FLOOR
    assert NO_FLOOR.is_met_by(Freshness("erp", 0, NO_POSITION, NEVER))


def test_a_floor_is_never_lowered_by_a_later_read() -> None:
    floors = ReadFloors()
    floors.note_copy(ROW, claim_of(5))
    floors.note_live(ROW, ReadSpan(7, 6.0, 7.0))
    assert not floors.floor(ROW).is_met_by(Freshness("erp", 0, at(4), 9.0))
    floors.note_copy(ROW, claim_of(8))
    assert not floors.floor(ROW).is_met_by(Freshness("erp", 0, at(9), 6.5))
    assert floors.floor(ROW).is_met_by(claim_of(8))
