"""How many deletes are plausible."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.delete_limit import ENTITY_MIN_ROWS, DeleteLimit, parse_delete_limit


def test_a_third_is_plausible_and_one_more_is_not() -> None:
    limit = parse_delete_limit("")
    assert not limit.exceeded(100, 300)
    assert limit.exceeded(101, 300)
    assert str(limit) == "a third"


def test_a_share_of_a_small_entity_tells_nothing_and_a_number_of_rows_does() -> None:
    assert not DeleteLimit().exceeded(ENTITY_MIN_ROWS - 1, ENTITY_MIN_ROWS - 1)
    assert DeleteLimit().exceeded(ENTITY_MIN_ROWS, ENTITY_MIN_ROWS)
    assert DeleteLimit(rows=2).exceeded(3, 3)


@given(st.integers(0, 10**12 - 1), st.integers(0, 100))
def test_what_is_written_is_read(rows: int, percent: int) -> None:
    assert parse_delete_limit(str(rows)) == DeleteLimit(rows)
    share = parse_delete_limit(f"{percent}%")
    assert share == DeleteLimit(share=Fraction(percent, 100))
    assert parse_delete_limit(str(share)).share == share.share


@given(st.text(max_size=8).filter(bool))
def test_anything_else_is_refused(text: str) -> None:
    digits = text.removesuffix("%")
    if digits.isascii() and digits.isdecimal():
        return
    with pytest.raises(ValueError, match="neither a number of rows"):
        parse_delete_limit(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "101%", "1e9", "٣", "5 %", "9" * 40, "%", "\n"])
def test_what_is_no_number_of_rows_and_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of rows"):
        parse_delete_limit(text)
