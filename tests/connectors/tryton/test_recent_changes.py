"""Which rows are news, whatever their transactions do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.tryton.capture.checkpoint import ModelState, pack, unpack
from connectors.tryton.capture.recent_changes import RecentChanges, RowStamp, datetime_of, micros_of

OVERLAP = 100
Version = tuple[int, int]
"""When its transaction began, and when it was committed."""


@dataclass(frozen=True)
class PollOfWindow:
    """A look at the ERP `after` the last one; telling each row takes `slow`, and the second page is
    read `paged` after the first.
    """

    after: int
    whole: bool
    slow: int
    restart: bool
    paged: int = 0


looks = st.builds(
    PollOfWindow,
    st.integers(1, 40),
    st.integers(0, 3).map(lambda one: not one),
    st.sampled_from([0, 0, 0, 80]),
    st.integers(0, 5).map(lambda one: not one),
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
    found, now = [], 1000
    for pause, lasting in steps:
        found.append((now + pause, now + pause + lasting))
        now += pause + lasting
    return found


def seen(histories: list[list[Version]], now: int) -> list[RowStamp]:
    """What is visible at a moment."""
    stamps = []
    for key, versions in enumerate(histories):
        done = [began for began, committed in versions if committed <= now]
        if done:
            stamps.append(RowStamp(done[-1], key, done[0]))
    return stamps


@settings(max_examples=300, deadline=None)
@given(rows, st.lists(looks, min_size=3, max_size=20))
def test_every_row_ends_as_it_is_and_is_told_as_new_once(
    steps: list[list[tuple[int, int]]], plan: list[PollOfWindow]
) -> None:
    """Late commits, looks of both lengths and of two pages, slow telling, restarts: as long as no transaction lasts
    longer than the overlap.
    """
    histories = [history(one) for one in steps]
    recent, now = RecentChanges(at=1000, since=900), 1000
    told: dict[int, int] = {}
    new: list[int] = []
    for look in [*plan, PollOfWindow(5000, True, 0, False)]:
        now += look.after
        window = OVERLAP if look.whole else OVERLAP // 10
        begin = recent.begin(window)
        pages = (range(2), seen(histories, now)), (range(2, 9), seen(histories, now + look.paged))
        found = [row for ids, rows in pages for row in rows if row.id in ids and row.at >= begin]
        now += look.paged
        upto = recent.saw(found, at_once=not look.paged)
        for row in recent.news(found):
            if recent.is_new(row, OVERLAP):
                new.append(row.id)
            now += look.slow
            [at_last] = [one for one in seen(histories, now) if one.id == row.id]
            told[row.id] = at_last.at
            recent.tell(at_last)
            if look.whole:
                recent.reach(min(row.at, upto))
        recent.prune(OVERLAP)
        if look.restart:
            recent = unpack(pack({"m": ModelState(recent)}), "here")["m"].recent
    assert told == {key: versions[-1][0] for key, versions in enumerate(histories)}
    assert len(new) == len(set(new))


def test_a_row_that_was_written_again_while_it_waited_hides_no_other() -> None:
    """Telling takes its time; what happened meanwhile was never looked for."""
    recent = RecentChanges(at=1000)
    [row] = recent.news([RowStamp(1001, 1, 1)])
    recent.tell(row._replace(at=9000))
    recent.reach(row.at)
    assert recent.begin(OVERLAP) <= 1500
    other = RowStamp(1500, 2, 1)
    assert recent.news([other, RowStamp(9000, 1, 1)]) == [other]


def test_what_is_committed_while_the_pages_are_read_is_within_the_next_look() -> None:
    """It began within the overlap before the first page, on which it lacked."""
    recent = RecentChanges(at=1000)
    assert recent.saw([RowStamp(1050, 1, 1)], at_once=True) == 1050
    recent.reach(1050)
    late = RowStamp(1060 - OVERLAP, 2, 1)
    reach = recent.saw([RowStamp(1200, 9, 1)], at_once=False)
    recent.reach(min(1200, reach))
    assert recent.begin(OVERLAP) <= late.at
    assert recent.saw([late], at_once=False) == 1200, "as it was seen before"


@given(rows)
def test_a_row_that_was_told_is_no_news_until_it_changes(
    steps: list[list[tuple[int, int]]],
) -> None:
    recent = RecentChanges(since=0)
    stamps = seen([history(one) for one in steps], 10_000)
    for row in recent.news(stamps):
        recent.tell(row)
        recent.reach(row.at)
    assert recent.news(stamps) == []
    changed = stamps[0]._replace(at=stamps[0].at - 1)
    assert recent.news([changed, *stamps[1:]]) == [changed], "an earlier time is another time"


def test_news_come_in_the_order_of_their_times_and_equal_times_by_id() -> None:
    rows = [RowStamp(5, 2, 5), RowStamp(4, 9, 1), RowStamp(5, 1, 5)]
    assert RecentChanges().news(rows) == [rows[1], rows[2], rows[0]]


def test_a_row_is_new_if_it_was_created_where_all_that_was_told_is_remembered() -> None:
    recent = RecentChanges(at=1000, since=500, told={1: 900})
    assert recent.is_new(RowStamp(950, 2, 950), OVERLAP)
    assert not recent.is_new(RowStamp(950, 1, 920), OVERLAP), "it was told"
    assert not recent.is_new(RowStamp(950, 3, 899), OVERLAP), "it may have been told long ago"
    assert not RecentChanges(at=1000, since=940).is_new(RowStamp(950, 4, 939), OVERLAP)


def test_what_is_pruned_is_behind_every_window() -> None:
    recent = RecentChanges(at=1000, told={1: 899, 2: 900, 3: 1000})
    recent.prune(OVERLAP)
    assert recent.told == {2: 900, 3: 1000}


def test_after_a_leap_nothing_that_was_given_up_is_asked_for() -> None:
    recent = RecentChanges(at=1000, since=0, told={1: 990})
    recent.leap(1200)
    assert recent.begin(OVERLAP) == 1201
    assert recent.news([RowStamp(1201, 1, 990)])
    assert not recent.is_new(RowStamp(1201, 1, 990), OVERLAP)
    assert recent.is_new(RowStamp(1201, 7, 1201), OVERLAP)


def test_a_clock_that_was_set_back_makes_the_window_begin_before_what_it_says_now() -> None:
    recent = RecentChanges(at=10_000, since=0, told={1: 9_990, 2: 9_800})
    recent.turn_back(7_000, OVERLAP)
    assert recent.begin(OVERLAP) == 6_900
    told, fresh = RowStamp(9_990, 1, 1), RowStamp(7_010, 3, 7_010)
    assert recent.news([told, fresh]) == [fresh]
    assert not recent.is_new(fresh, OVERLAP), "who was created there may have been told"
    recent.turn_back(8_000, OVERLAP)
    assert recent.at == 7_000, "a clock that is ahead of what was told changes nothing"


def test_cut_down_it_remembers_the_newest_and_says_from_when_on_that_is_complete() -> None:
    recent = RecentChanges(at=50, told={key: key for key in range(40, 50)})
    cut = recent.newest(3)
    assert cut.told == {47: 47, 48: 48, 49: 49}
    assert cut.since == 48
    assert recent.newest(0).since == 51
    assert recent.newest(10).told == recent.told


@pytest.mark.parametrize("when", [datetime(1970, 1, 1), datetime(2026, 11, 22, 1, 2, 3, 999_999)])  # noqa: DTZ001 - as Tryton's
def test_moments_are_exact(when: datetime) -> None:
    assert datetime_of(micros_of(when)) == when
