"""Rows that come late among older ones, told from those that were there by what was missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.tryton.capture.checkpoint import ModelState, pack, unpack
from connectors.tryton.capture.id_gaps import MAX_GAPS, SEARCHED_IDS, IdGaps, gaps_of
from connectors.tryton.capture.id_set import IdSet, fingerprint
from connectors.tryton.capture.recent_changes import RecentChanges

ids = st.sets(st.integers(1, 80))


@given(ids, ids, ids, ids)
def test_after_a_restart_it_is_known_which_rows_came_late_and_whether_any_went(
    before: set[int], told: set[int], late: set[int], deleted: set[int]
) -> None:
    known = IdSet(before)
    for key in told:
        known.add(key)
    saved = ModelState(RecentChanges(), known.print, gaps=known.gaps)
    back = unpack(pack({"m": saved}), "here")["m"]
    assert back == saved
    assert back.known is not None
    assert back.gaps is not None
    there = before | told
    listed = {key for key in (there - deleted) | late if key <= back.known.last}
    old = listed - back.gaps.ids
    assert old == listed & there
    assert (fingerprint(old, back.known.last) == back.known) == (old == there)


@given(ids, st.lists(st.sets(st.integers(1, 120)), max_size=3))
def test_what_goes_leaves_a_gap(first: set[int], listings: list[set[int]]) -> None:
    known = IdSet(first)
    highest = max(first, default=0)
    for listed in listings:
        for key in known.compare(sorted(listed))[1]:
            known.add(key)
        highest = max([highest, *listed])
        assert known.gaps == IdGaps(highest, set(range(1, highest + 1)) - listed)


def test_gaps_are_looked_for_among_the_highest_ids_and_the_highest_are_kept() -> None:
    assert gaps_of([]) == IdGaps()
    assert gaps_of([5]).ids == {1, 2, 3, 4}
    assert gaps_of([10**9]).ids == set(range(10**9 - MAX_GAPS, 10**9))
    many = list(range(1, 3 * SEARCHED_IDS, 2))
    found = gaps_of(many)
    assert MAX_GAPS <= len(found.ids) <= 2 * MAX_GAPS
    assert found.ids == set(range(many[-1] + 1 - 2 * len(found.ids), many[-1], 2))
    assert found.newest(3).ids == {many[-1] - 5, many[-1] - 3, many[-1] - 1}
    assert found.newest(0).ids == set()


def test_a_checkpoint_of_many_models_with_many_gaps_stays_small() -> None:
    models = {
        f"model.{name}": ModelState(
            RecentChanges(), fingerprint([1]), gaps=gaps_of(range(1, 9000, 3 + name))
        )
        for name in range(60)
    }
    assert len(unpack(pack(models), "here")) == 60
