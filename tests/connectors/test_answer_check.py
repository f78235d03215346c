"""Answers against questions: what no server would give is told from what can't be judged."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.connector import answer_check
from bridge.connector.answer_check import (
    AnswerSizes,
    AskedKeys,
    first_foreign,
    first_misplaced,
    first_repeated,
    may_equal,
)
from tests.example_counts import examples

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("Open", "OPEN"),
        ("Müller", "muller"),
        ("ABC  ", "abc"),
        ("\uff1012", "12"),
        ("000000000000000018", "18"),
        ("straße", "strasse"),
        ("straße", "strase"),
        ("北京", "上海"),
        (Decimal("1.50"), Decimal("1.5")),
        (7, "7"),
        (0.1, Decimal("0.1")),
        (0.10000000149, 0.1),
        (NOON, NOON.replace(microsecond=999)),
        (NOON, NOON.replace(tzinfo=None)),
        (date(2024, 1, 31), NOON),
        (time(10, 30), time(10, 30, 0, 5)),
        (b"ab", b"ab\0\0"),
        (GUID, GUID.upper()),
        (["any"], "list"),
        (None, None),
    ],
)
def test_what_some_server_takes_for_equal_is_no_sign_of_a_lie(value: Any, wanted: Any) -> None:
    assert may_equal(value, wanted)
    assert may_equal(wanted, value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("open", "closed"),
        ("C1", "C10"),
        ("straße", "weg"),
        ("ab北京", "xy北京"),
        (7, 8),
        (Decimal("1.50"), Decimal("1.51")),
        (0.1, 0.2),
        (True, False),
        (None, "x"),
        ("x", None),
        (NOON, NOON.replace(second=2)),
        (date(2024, 1, 31), date(2024, 2, 2)),
        (time(10, 30), time(10, 31)),
        (b"ab", b"abc"),
    ],
)
def test_what_no_server_takes_for_equal_is_one(value: Any, wanted: Any) -> None:
    assert not may_equal(value, wanted)
    assert not may_equal(wanted, value)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=True),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))),
    st.dates(),
    st.times(),
    st.lists(st.integers(), max_size=2),
)


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(SCALARS, SCALARS)
def test_any_two_values_can_be_compared_either_way(left: Any, right: Any) -> None:
    assert may_equal(left, right) == may_equal(right, left)
    assert AskedKeys([(left,)]).accepts((left,)) or left != left  # noqa: PLR0124 - NaN
    first_misplaced([(left,), (right,)])


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 30), unique=True, min_size=2), st.randoms())
def test_any_other_order_than_the_one_asked_for_is_seen(keys: list[int], dice: Any) -> None:
    ordered = [(key,) for key in sorted(keys)]
    assert first_misplaced(ordered) is None
    shuffled = list(ordered)
    dice.shuffle(shuffled)
    assert (first_misplaced(shuffled) is None) == (shuffled == ordered)


def test_order_is_judged_where_every_server_has_the_same() -> None:
    assert first_misplaced([(1,), (2,), (3,)], after=(0,)) is None
    assert first_misplaced([(1,), (3,), (2,)]) == 2
    assert first_misplaced([(1,), (2,)], after=(1,)) == 0
    assert first_misplaced([(1, "b"), (1, "a"), (2, "a")]) is None, "texts have many orders"
    assert first_misplaced([(1, "a"), (1, "a")]) == 1
    assert first_misplaced([(NOON, 2), (NOON, 1)]) == 1
    assert first_repeated([(1,), (2,), (1,)]) == 2
    assert first_repeated([(1,), (2,)]) is None


def test_rows_that_nobody_asked_for_are_found() -> None:
    assert first_foreign([("C1",), ("c1",)], [("C1",)]) is None
    assert first_foreign([("C1", 1), ("C2", 2)], [("C1", 1), ("C2", 3)]) == 1
    assert AskedKeys([([1],)]).accepts(([2],)), "what can't be judged"


def test_rows_whose_texts_differ_by_case_are_not_compared_with_each_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many servers don't tell cases apart; a lookup of 1,000 keys would take seconds."""
    monkeypatch.setattr(answer_check, "may_equal", lambda *_: pytest.fail("compared"))
    keys = [(f"SO{number:05}", number) for number in range(300)]
    asked_keys = AskedKeys(keys)
    assert all(asked_keys.accepts((text.lower(), number)) for text, number in keys)
    assert all(asked_keys.accepts((f"{text} ", number)) for text, number in keys)


@given(st.text(" 0aAäß1", max_size=4), st.text(" 0aAäß1", max_size=4))
def test_a_key_accepts_what_may_equal_it_and_nothing_else(value: str, wanted: str) -> None:
    assert AskedKeys([(wanted,)]).accepts((value,)) == may_equal(value, wanted)


def test_an_answer_smaller_than_another_was_not_cut() -> None:
    sizes = AnswerSizes()
    assert not sizes.may_be_cut(0)
    assert sizes.may_be_cut(3)
    assert sizes.may_be_cut(3), "three may be the limit"
    assert not sizes.may_be_cut(2)
    assert sizes.may_be_cut(5)
    assert not sizes.may_be_cut(4)
    assert not sizes.may_be_cut(10, wanted=10), "a whole page is no short one"
    assert not sizes.may_be_cut(9)
