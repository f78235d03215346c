# ruff: noqa: DTZ001 - local times have no zone
"""Canonical JSON: one text for one meaning, so that digests can be compared."""

import json
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.canonical import (
    canonical_json,
    instant_text,
    parse_canonical,
    plain,
    sha256_hex,
)
from tests.hostile_values import JSON_VALUES, quick

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_it_is_json_that_says_the_same(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(0, 9)))
def test_the_order_of_names_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_names_are_ordered_by_utf_16_as_rfc_8785_says() -> None:
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert [int(value) for value in json.loads(canonical_json(names)).values()] == [
        2, 4, 6, 7, 1, 5, 3,
    ]  # fmt: skip


#: RFC 8785, appendix B: IEEE 754 bits and the text they must have.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    [value] = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    assert float(canonical_json(value)) == value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (2**53, "9007199254740992"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (
            datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
            "2024-01-31T10:00:00.000000Z",
        ),
        (datetime(2024, 1, 31, 12), "2024-01-31T12:00:00.000000"),
        (date(2024, 1, 31), "2024-01-31"),
        (time(12, 0, 0, 1), "12:00:00.000001"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"\0\xff", "AP8="),
        ((1, None), [1, None]),
    ],
)
def test_other_values_stand_as_text(value: Any, wanted: Any) -> None:
    assert plain(value) == wanted


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no canonical JSON form"):
        canonical_json({"a": object()})


def test_the_same_instant_has_one_text() -> None:
    at = datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert instant_text(at) == instant_text(at.astimezone(timezone(timedelta(hours=-7))))


def test_a_digest_tells_its_parts_apart() -> None:
    assert sha256_hex("a", "b") != sha256_hex("ab")
    assert sha256_hex({"a": 1, "b": 2}) == sha256_hex({"b": 2, "a": 1})
    assert len(sha256_hex()) == 64


@quick
@given(JSON_VALUES)
def test_what_was_written_is_read_and_written_again_as_the_same_text(value: Any) -> None:
    """Floats that look like integers of more than 53 bits among them: a digest is made of it."""
    text = canonical_json(value)
    assert canonical_json(parse_canonical(text)) == text


def test_a_float_beyond_the_safe_integers_stays_one() -> None:
    assert canonical_json(parse_canonical(canonical_json([1e16, -1e16, 2**53]))) == (
        '[10000000000000000,-10000000000000000,"9007199254740992"]'
    )


def test_a_decimal_of_endless_digits_is_refused_in_no_time() -> None:
    for text in ("1e300000000", "1e-300000000", "0E-300000000"):
        with pytest.raises(ValueError, match="no canonical form"):
            canonical_json(Decimal(text))


def test_a_float_of_another_library_is_written_as_a_number() -> None:
    """numpy's say `np.float64(1.5)` when asked for their text."""

    class Float(float):
        def __repr__(self) -> str:
            return f"np.float64({float(self)})"

    assert canonical_json(Float(1.5)) == "1.5"
