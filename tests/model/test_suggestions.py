"""Names close to a misspelled one."""

from __future__ import annotations

from bridge.model.suggestions import MAX_LISTED_NAMES, did_you_mean


def test_names_that_are_spelled_alike_are_suggested_the_closest_first() -> None:
    assert did_you_mean("coment", ["state", "comment"]) == "; did you mean 'comment'?"
    assert did_you_mean("lin", ["line", "lines"]) == "; did you mean 'line' or 'lines'?"


def test_where_none_is_alike_all_are_listed_if_that_is_wanted() -> None:
    assert did_you_mean("xyz", ["line", "state"]) == ""
    assert did_you_mean("xyz", ["line", "state"], list_all=True) == " (there are line, state)"
    assert did_you_mean("xyz", [], list_all=True) == " (there are none)"


def test_a_long_list_is_cut() -> None:
    names = [f"field_{number}" for number in range(100)]
    listed = did_you_mean("xyz", names, list_all=True)
    assert listed.count("field_") == MAX_LISTED_NAMES
