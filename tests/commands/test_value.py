from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.argument_values import value_of
from bridge.model.canonical import canonical_json
from bridge.model.conversion_error import ConversionError
from bridge.model.types import parse_type
from tests.hostile_values import EARLY, JSON_VALUES, LATE, VALUES, quick

EXAMPLES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "decimal(15,2)": st.decimals(-(10**12), 10**12, places=2),
    "string": st.text(),
    "bytes": st.binary(),
    "date": st.dates(),
    "time": st.times(),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "local_timestamp": st.datetimes(),
    "uuid": st.uuids(),
    "array(decimal(9,3))": st.lists(st.none() | st.decimals(-(10**5), 10**5, places=3)),
}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_every_value_comes_back_from_canonical_json_as_it_was(name: str) -> None:
    kind = parse_type(name)

    @given(EXAMPLES[name])
    def holds(value: Any) -> None:
        assert value_of(kind, json.loads(canonical_json(value))) == value
        assert value_of(kind, value) == value

    holds()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("boolean", 1, "true or false"),
        ("integer", True, "whole number"),
        ("integer", "1.5", "whole number"),
        ("integer", 2**63, "64 bits"),
        ("decimal(15,2)", 9.9, "written as text"),
        ("decimal(15,2)", "9.999", "at most 2 digits"),
        ("decimal(3,2)", "10", "too many digits before"),
        ("decimal(3,2)", "NaN", "decimal"),
        ("string", 5, "text"),
        ("bytes", "%%", "base64"),
        ("date", "31.01.2026", "2026-01-31"),
        ("timestamp", "2026-01-31T10:00:00", "its zone"),
        ("local_timestamp", "2026-01-31T10:00:00Z", "without a zone"),
        ("uuid", "no", "UUID"),
        ("array(integer)", "5", "list"),
        ("array(integer)", ["x"], "whole number"),
    ],
)
def test_what_does_not_fit_is_told_with_what_was_expected(
    name: str, value: Any, message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        value_of(parse_type(name), value)


def test_other_spellings_of_the_same_value_are_taken() -> None:
    assert value_of(parse_type("decimal(15,2)"), 5) == Decimal(5)
    assert value_of(parse_type("decimal(15,2)"), "1.500") == Decimal("1.5")
    utc_plus_2 = timezone(timedelta(hours=2))
    assert value_of(
        parse_type("timestamp"), datetime(2026, 1, 31, 12, tzinfo=utc_plus_2)
    ) == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert value_of(parse_type("date"), date(2026, 1, 31)) == date(2026, 1, 31)
    assert value_of(parse_type("time"), "10:00:00") == time(10)
    uuid = UUID(int=7)
    assert value_of(parse_type("uuid"), str(uuid)) == uuid


KINDS = [*EXAMPLES, "float", "json", "decimal(1000,1000)", "array(array(integer))", "array(bytes)"]


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_sent_is_a_value_or_unfit(name: str) -> None:
    """Nothing but ConversionError comes out, and a value that is taken can be written as JSON again."""
    kind = parse_type(name)

    @quick
    @given(JSON_VALUES | VALUES)
    def holds(value: Any) -> None:
        try:
            taken = value_of(kind, value)
        except ConversionError as unfit:
            taken = str(unfit)[:1000]
        canonical_json(taken)

    holds()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("integer", "--5"),
        ("integer", "9" * 5000),
        ("integer", 10**5000),
        ("integer", "٣"),
        ("timestamp", LATE),
        ("timestamp", EARLY),
        ("bytes", "é"),
        ("double", 10**400),
        ("time", "10:00:00+05:00"),
        ("decimal(9,2)", "1e300000000"),
        ("array(integer)", ["--5"]),
    ],
    ids=lambda _: "",
)
def test_what_no_declared_type_holds_is_unfit(name: str, value: Any) -> None:
    with pytest.raises(ConversionError):
        value_of(parse_type(name), value)


def test_a_zero_of_any_exponent_is_zero() -> None:
    """As text it would have three hundred million digits."""
    assert str(value_of(parse_type("decimal(9,2)"), "0E+300000000")) == "0"
    with pytest.raises(ConversionError):
        value_of(parse_type("decimal(9,2)"), "0E-300000000")
