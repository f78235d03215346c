"""What is gone and what came, from the ids alone."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from connectors.tryton.capture.id_set import IdSet, fingerprint

ids = st.sets(st.integers(1, 60))


@given(ids, st.lists(ids, max_size=4), ids)
def test_differences_are_those_of_sets_whatever_was_told_in_between(
    first: set[int], listings: list[set[int]], told: set[int]
) -> None:
    known = IdSet(first)
    truth = set(first)
    for listed in listings:
        for key in told:
            known.add(key)
        truth |= told
        assert {key for key in range(70) if key in known} == truth
        assert known.print[1:] == fingerprint(truth)[1:]
        gone, come = known.compare(array("q", sorted(listed)))
        assert gone == sorted(truth - listed)
        assert come == sorted(listed - truth), "not known before they are told"
        truth -= set(gone)
        assert known.print[1:] == fingerprint(truth)[1:]
        assert known.print.last >= max(truth, default=0)


@given(ids, ids)
def test_a_fingerprint_tells_whether_rows_went_while_nobody_looked(
    before: set[int], later: set[int]
) -> None:
    """Rows with greater ids came since; they change nothing."""
    last = max(before, default=0)
    came = {key + last for key in later}
    assert fingerprint(before | came, last) == fingerprint(before)
    for key in before:
        assert fingerprint((before | came) - {key}, last) != fingerprint(before)


def test_the_greatest_id_that_went_still_divides_old_rows_from_new_ones() -> None:
    known = IdSet([1, 2, 9])
    known.compare([1, 2])
    assert known.print.last == 9
    assert fingerprint([1, 2, 10], known.print.last) == known.print


def test_a_row_that_comes_back_under_its_id_came() -> None:
    known = IdSet([1, 2])
    assert known.compare([1]) == ([2], [])
    assert known.compare([1, 2]) == ([], [2])
