"""What is deleted and what is new, from the ids alone."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from connectors.tryton.capture.id_set import IdSet, fingerprint

ids = st.sets(st.integers(1, 60))


@given(ids, st.lists(ids, max_size=4), ids)
def test_differences_are_those_of_sets_whatever_was_emitted_in_between(
    first: set[int], listings: list[set[int]], emitted: set[int]
) -> None:
    id_set = IdSet(first)
    expected = set(first)
    for listed in listings:
        for key in emitted:
            id_set.add(key)
        expected |= emitted
        assert {key for key in range(70) if key in id_set} == expected
        assert id_set.fingerprint[1:] == fingerprint(expected)[1:]
        missing, new = id_set.compare(array("q", sorted(listed)))
        assert missing == sorted(expected - listed)
        assert new == sorted(listed - expected), "not known before they are emitted"
        expected -= set(missing)
        assert id_set.fingerprint[1:] == fingerprint(expected)[1:]
        assert id_set.fingerprint.last >= max(expected, default=0)


@given(ids, ids)
def test_a_fingerprint_tells_whether_rows_were_deleted_while_nothing_was_polled(
    before: set[int], later: set[int]
) -> None:
    """Rows with greater ids came since; they change nothing."""
    last = max(before, default=0)
    came = {key + last for key in later}
    assert fingerprint(before | came, last) == fingerprint(before)
    for key in before:
        assert fingerprint((before | came) - {key}, last) != fingerprint(before)


def test_the_greatest_id_that_was_deleted_still_divides_old_rows_from_new_ones() -> None:
    id_set = IdSet([1, 2, 9])
    id_set.compare([1, 2])
    assert id_set.fingerprint.last == 9
    assert fingerprint([1, 2, 10], id_set.fingerprint.last) == id_set.fingerprint


def test_a_row_that_comes_back_under_its_id_is_new() -> None:
    id_set = IdSet([1, 2])
    assert id_set.compare([1]) == ([2], [])
    assert id_set.compare([1, 2]) == ([], [2])
