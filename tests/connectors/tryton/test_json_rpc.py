"""Values on their way from Tryton and back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.types import parse_type
from connectors.http.errors import UnreadableAnswer
from connectors.tryton.metadata.field_values import decoder_of, to_tryton
from connectors.tryton.metadata.model import field_type, model_of
from connectors.tryton.protocol.json_rpc import dumps, loads

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) < 6000
)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | DECIMALS
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.binary()
    | st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)).map(
        lambda delta: timedelta(seconds=delta.total_seconds())
    )
)
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(values)
def test_what_is_sent_comes_back_the_same(value: Any) -> None:
    back = loads(dumps(value))
    assert back == value
    assert type(back) is type(value)


@given(DECIMALS)
def test_decimals_keep_every_digit(value: Decimal) -> None:
    assert str(loads(dumps(value))) == str(value)


def test_an_instant_is_sent_in_utc_as_tryton_keeps_it() -> None:
    when = datetime(2026, 1, 31, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert loads(dumps(when)) == datetime(2026, 1, 30, 23, 30)  # noqa: DTZ001 - as Tryton's


def test_what_has_no_form_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="a value of type complex"):
        dumps(1j)


@pytest.mark.parametrize(
    ("digits", "kind"),
    [
        ([14, 2], "decimal(16,2)"),
        ("[14, 2]", "decimal(16,2)"),
        ([None, 4], "decimal(38,4)"),
        ([0, 2], "decimal(2,2)"),
        ("currency", "string"),
        ([30, 20], "string"),
        ([0, 0], "string"),
        (None, "string"),
        ('{"__class__": "Eval"}', "string"),
    ],
)
def test_digits_count_before_and_behind_the_point(digits: Any, kind: str) -> None:
    assert field_type("numeric", digits) == parse_type(kind)


FIELDS = model_of(
    "m",
    {
        "id": {"type": "integer"},
        "at": {"type": "timestamp"},
        "lasts": {"type": "timedelta"},
        "price": {"type": "numeric"},
        "attributes": {"type": "dict"},
        "party": {"type": "many2one", "relation": "party.party"},
        "lines": {"type": "one2many", "relation": "line", "relation_field": "m"},
        "total": {"type": "numeric", "searchable": False},
        "search": {"type": "full_text"},
        "image": {"type": "binary", "searchable": False},
    },
)


def test_fields_that_cannot_be_used_are_left_out_with_the_reason() -> None:
    assert "image" in FIELDS.fields
    assert set(FIELDS.left_out) == {"lines", "total", "search"}
    assert "rows of their own model" in FIELDS.left_out["lines"]
    assert "not in the table" in FIELDS.left_out["total"]
    assert "full_text" in FIELDS.left_out["search"]


@pytest.mark.parametrize(
    ("name", "read", "row"),
    [
        ("at", datetime(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),  # noqa: DTZ001 - as it comes
        ("lasts", timedelta(hours=1.5), 5400.0),
        ("price", Decimal("1E+3"), "1000"),
        ("attributes", {"b": Decimal("1.50"), "a": None}, '{"a": null, "b": "1.50"}'),
        ("attributes", None, None),
        ("at", None, None),
    ],
)
def test_a_value_that_was_read_is_the_row_s(name: str, read: Any, row: Any) -> None:
    turn = decoder_of(FIELDS.fields[name])
    assert turn is not None
    assert turn(read) == row


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("lasts", 5400, timedelta(hours=1.5)),
        ("price", "12.50", Decimal("12.50")),
        ("attributes", '{"a": 1}', {"a": 1}),
        ("party", "7", 7),
        ("party", None, None),
    ],
)
def test_a_value_of_a_row_is_asked_for_in_tryton_s_form(name: str, row: Any, expected: Any) -> None:
    assert to_tryton(FIELDS.fields[name], row) == expected


def test_moments_and_dates_stay_apart() -> None:
    packed = json.loads(dumps([date(2026, 1, 31), time(1, 2, 3)]))
    assert [value["__class__"] for value in packed] == ["date", "time"]


@pytest.mark.parametrize(
    "odd",
    [
        {"__class__": "Decimal", "decimal": "abc"},
        {"__class__": "Decimal", "decimal": "1e300000000"},
        {"__class__": "Decimal", "decimal": [0, [1], 300_000_000]},
        {"__class__": "Decimal"},
        {"__class__": "datetime", "year": 2026},
        {"__class__": "date", "year": 10**30, "month": 1, "day": 1},
        {"__class__": "date", "year": "2026", "month": 1, "day": 1},
        {"__class__": "timedelta", "seconds": 1e300},
        {"__class__": "bytes", "base64": 5},
        {"__class__": ["Decimal"]},
        {"__class__": "unheard of"},
    ],
)
def test_what_is_no_value_of_its_class_stays_as_it_came(odd: Any) -> None:
    """So that the row that holds it is refused, and nothing but that row."""
    text = json.dumps({"result": [{"id": 1, "amount": odd}, {"id": 2}]})
    assert loads(text) == {"result": [{"id": 1, "amount": odd}, {"id": 2}]}


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_whatever_comes_is_a_value_or_unreadable(content: bytes | str) -> None:
    try:
        loads(content)
    except UnreadableAnswer:
        return
