"""Rows that come late among older ones, told from those that were existing by what was missing."""

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
    before: set[int], emitted: set[int], late: set[int], deleted: set[int]
) -> None:
    id_set = IdSet(before)
    for key in emitted:
        id_set.add(key)
    state = ModelState(RecentChanges(), id_set.fingerprint, gaps=id_set.gaps)
    restored = unpack(pack({"m": state}), "here")["m"]
    assert restored == state
    assert restored.fingerprint is not None
    assert restored.gaps is not None
    existing = before | emitted
    listed = {key for key in (existing - deleted) | late if key <= restored.fingerprint.last}
    old = listed - restored.gaps.ids
    assert old == listed & existing
    assert (fingerprint(old, restored.fingerprint.last) == restored.fingerprint) == (
        old == existing
    )


@given(ids, st.lists(st.sets(st.integers(1, 120)), max_size=3))
def test_what_goes_leaves_a_gap(first: set[int], listings: list[set[int]]) -> None:
    id_set = IdSet(first)
    highest = max(first, default=0)
    for listed in listings:
        for key in id_set.compare(sorted(listed))[1]:
            id_set.add(key)
        highest = max([highest, *listed])
        assert id_set.gaps == IdGaps(highest, set(range(1, highest + 1)) - listed)


def test_gaps_are_looked_for_among_the_highest_ids_and_the_highest_are_kept() -> None:
    assert gaps_of([]) == IdGaps()
    assert gaps_of([5]).ids == {1, 2, 3, 4}
    assert gaps_of([10**9]).ids == set(range(10**9 - MAX_GAPS, 10**9))
    many = list(range(1, 3 * SEARCHED_IDS, 2))
    gaps = gaps_of(many)
    assert MAX_GAPS <= len(gaps.ids) <= 2 * MAX_GAPS
    assert gaps.ids == set(range(many[-1] + 1 - 2 * len(gaps.ids), many[-1], 2))
    assert gaps.limited_to(3).ids == {many[-1] - 5, many[-1] - 3, many[-1] - 1}
    assert gaps.limited_to(0).ids == set()


def test_a_checkpoint_of_many_models_with_many_gaps_stays_small() -> None:
    models = {
        f"model.{name}": ModelState(
            RecentChanges(), fingerprint([1]), gaps=gaps_of(range(1, 9000, 3 + name))
        )
        for name in range(60)
    }
    assert len(unpack(pack(models), "here")) == 60
