"""Which rows have changed, whatever their transactions do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.tryton.capture.checkpoint import ModelState, pack, unpack
from connectors.tryton.capture.recent_changes import RecentChanges, RowStamp, datetime_of, micros_of
from tests.example_counts import examples

OVERLAP = 100
Version = tuple[int, int]
"""When its transaction began, and when it was committed."""


@dataclass(frozen=True)
class PollPlan:
    """A poll of the ERP `after` the last one; emitting each row takes `slow`, and the second page is
    read `paged` after the first.
    """

    after: int
    complete: bool
    slow: int
    restart: bool
    paged: int = 0


polls = st.builds(
    PollPlan,
    st.integers(1, 40),
    st.integers(0, 3).map(lambda number: not number),
    st.sampled_from([0, 0, 0, 80]),
    st.integers(0, 5).map(lambda number: not number),
    st.sampled_from([0, 0, 30, 90]),
)
# Pauses between a row's transactions, and how long each lasts.
rows = st.lists(
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from([0, 1, OVERLAP])), min_size=1, max_size=6
    ),
    min_size=2,
    max_size=6,
)


def history(steps: list[tuple[int, int]]) -> list[Version]:
    """A row's versions: nobody else writes it while a transaction has it."""
    versions, now = [], 1000
    for pause, lasting in steps:
        versions.append((now + pause, now + pause + lasting))
        now += pause + lasting
    return versions


def visible(histories: list[list[Version]], now: int) -> list[RowStamp]:
    """What is visible at a moment."""
    stamps = []
    for key, versions in enumerate(histories):
        done = [began for began, committed in versions if committed <= now]
        if done:
            stamps.append(RowStamp(done[-1], key, done[0]))
    return stamps


@settings(max_examples=examples(300), deadline=None)
@given(rows, st.lists(polls, min_size=3, max_size=20))
def test_every_row_ends_as_it_is_and_is_emitted_as_new_once(
    steps: list[list[tuple[int, int]]], plan: list[PollPlan]
) -> None:
    """Late commits, polls of both lengths and of two pages, slow emitting, restarts: as long as no
    transaction lasts longer than the overlap.
    """
    histories = [history(row_steps) for row_steps in steps]
    recent, now = RecentChanges(at=1000, since=900), 1000
    emitted: dict[int, int] = {}
    new: list[int] = []
    for poll in [*plan, PollPlan(5000, True, 0, False)]:
        now += poll.after
        window = OVERLAP if poll.complete else OVERLAP // 10
        begin = recent.window_start(window)
        pages = (
            (range(2), visible(histories, now)),
            (range(2, 9), visible(histories, now + poll.paged)),
        )
        window_rows = [
            row for ids, rows in pages for row in rows if row.id in ids and row.at >= begin
        ]
        now += poll.paged
        complete_until = recent.see(window_rows, at_once=not poll.paged)
        for row in recent.changed(window_rows):
            if recent.is_new(row, OVERLAP):
                new.append(row.id)
            now += poll.slow
            [at_last] = [stamp for stamp in visible(histories, now) if stamp.id == row.id]
            emitted[row.id] = at_last.at
            recent.mark_emitted(at_last)
            if poll.complete:
                recent.advance(min(row.at, complete_until))
        recent.prune(OVERLAP)
        if poll.restart:
            recent = unpack(pack({"m": ModelState(recent)}), "here")["m"].recent
    assert emitted == {key: versions[-1][0] for key, versions in enumerate(histories)}
    assert len(new) == len(set(new))


def test_a_row_that_was_written_again_while_it_waited_hides_no_other() -> None:
    """Emitting takes its time; what happened meanwhile was never asked for."""
    recent = RecentChanges(at=1000)
    [row] = recent.changed([RowStamp(1001, 1, 1)])
    recent.mark_emitted(row._replace(at=9000))
    recent.advance(row.at)
    assert recent.window_start(OVERLAP) <= 1500
    other = RowStamp(1500, 2, 1)
    assert recent.changed([other, RowStamp(9000, 1, 1)]) == [other]


def test_what_is_committed_while_the_pages_are_read_is_within_the_next_poll() -> None:
    """It began within the overlap before the first page, from which it is missing."""
    recent = RecentChanges(at=1000)
    assert recent.see([RowStamp(1050, 1, 1)], at_once=True) == 1050
    recent.advance(1050)
    late = RowStamp(1060 - OVERLAP, 2, 1)
    reach = recent.see([RowStamp(1200, 9, 1)], at_once=False)
    recent.advance(min(1200, reach))
    assert recent.window_start(OVERLAP) <= late.at
    assert recent.see([late], at_once=False) == 1200, "as it was seen before"


@given(rows)
def test_a_row_that_was_emitted_has_not_changed_until_it_changes(
    steps: list[list[tuple[int, int]]],
) -> None:
    recent = RecentChanges(since=0)
    stamps = visible([history(row_steps) for row_steps in steps], 10_000)
    for row in recent.changed(stamps):
        recent.mark_emitted(row)
        recent.advance(row.at)
    assert recent.changed(stamps) == []
    changed = stamps[0]._replace(at=stamps[0].at - 1)
    assert recent.changed([changed, *stamps[1:]]) == [changed], "an earlier time is another time"


def test_changed_rows_come_in_the_order_of_their_times_and_equal_times_by_id() -> None:
    rows = [RowStamp(5, 2, 5), RowStamp(4, 9, 1), RowStamp(5, 1, 5)]
    assert RecentChanges().changed(rows) == [rows[1], rows[2], rows[0]]


def test_a_row_is_new_if_it_was_created_where_all_that_was_emitted_is_remembered() -> None:
    recent = RecentChanges(at=1000, since=500, emitted={1: 900})
    assert recent.is_new(RowStamp(950, 2, 950), OVERLAP)
    assert not recent.is_new(RowStamp(950, 1, 920), OVERLAP), "it was emitted"
    assert not recent.is_new(RowStamp(950, 3, 899), OVERLAP), "it may have been emitted long ago"
    assert not RecentChanges(at=1000, since=940).is_new(RowStamp(950, 4, 939), OVERLAP)


def test_what_is_pruned_is_before_every_window() -> None:
    recent = RecentChanges(at=1000, emitted={1: 899, 2: 900, 3: 1000})
    recent.prune(OVERLAP)
    assert recent.emitted == {2: 900, 3: 1000}


def test_after_a_skip_nothing_that_was_given_up_is_asked_for() -> None:
    recent = RecentChanges(at=1000, since=0, emitted={1: 990})
    recent.skip_to(1200)
    assert recent.window_start(OVERLAP) == 1201
    assert recent.changed([RowStamp(1201, 1, 990)])
    assert not recent.is_new(RowStamp(1201, 1, 990), OVERLAP)
    assert recent.is_new(RowStamp(1201, 7, 1201), OVERLAP)


def test_a_clock_that_was_set_back_makes_the_window_begin_before_what_it_says_now() -> None:
    recent = RecentChanges(at=10_000, since=0, emitted={1: 9_990, 2: 9_800})
    recent.rewind(7_000, OVERLAP)
    assert recent.window_start(OVERLAP) == 6_900
    emitted, fresh = RowStamp(9_990, 1, 1), RowStamp(7_010, 3, 7_010)
    assert recent.changed([emitted, fresh]) == [fresh]
    assert not recent.is_new(fresh, OVERLAP), "who was created there may have been emitted"
    recent.rewind(8_000, OVERLAP)
    assert recent.at == 7_000, "a clock that is ahead of what was emitted changes nothing"


def test_cut_down_it_remembers_the_newest_and_says_from_when_on_that_is_complete() -> None:
    recent = RecentChanges(at=50, emitted={key: key for key in range(40, 50)})
    cut = recent.limited_to(3)
    assert cut.emitted == {47: 47, 48: 48, 49: 49}
    assert cut.since == 48
    assert recent.limited_to(0).since == 51
    assert recent.limited_to(10).emitted == recent.emitted


@pytest.mark.parametrize("when", [datetime(1970, 1, 1), datetime(2026, 11, 22, 1, 2, 3, 999_999)])  # noqa: DTZ001 - as Tryton's
def test_timestamps_are_exact(when: datetime) -> None:
    assert datetime_of(micros_of(when)) == when
