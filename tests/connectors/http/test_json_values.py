"""JSON that is meant to cost much, or to break something: one error, at once."""

from __future__ import annotations

import json
import time
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http import json_values
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import MAX_DEPTH, decimal_of, parse_json

TOKENS = st.sampled_from(
    [*'[]{},:"\\ -+.', "1", "1e9", "e", "9" * 50, "9" * 5000, "null", "tru", "NaN", '"a"', "\ud800"]
)


@given(st.one_of(st.binary(max_size=40), st.text(max_size=40), st.lists(TOKENS).map("".join)))
def test_whatever_comes_is_a_value_or_unreadable(content: bytes | str) -> None:
    try:
        parse_json(content)
    except UnreadableAnswer:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=10,
    )
)
def test_what_is_written_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("number", ["1e300000000", "9" * 5000, "1e-99999999", "0." + "1" * 2000])
def test_a_number_out_of_bounds_stays_its_text_and_costs_nothing(number: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    value = parse_json(f'{{"rows": [{{"a": {number}, "b": 1.50}}]}}')
    assert value == {"rows": [{"a": number, "b": Decimal("1.50")}]}
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert time.process_time() - began < 5
    with pytest.raises(UnreadableAnswer):
        decimal_of(number)


@pytest.mark.parametrize("opening", ['{"a":', "[", '[{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
def test_what_is_nested_too_deeply_is_unreadable(opening: str, depth: int) -> None:
    closing = {'{"a":': "}", "[": "]", '[{"a":': "}]"}[opening]
    with pytest.raises(UnreadableAnswer, match="nested too deeply"):
        parse_json(opening * depth + "1" + closing * depth)


def test_what_is_nested_as_services_do_is_read() -> None:
    depth = MAX_DEPTH - 1
    value = parse_json("[" * depth + "1" + "]" * depth)
    for _ in range(depth):
        (value,) = value
    assert value == 1


def test_more_values_than_the_memory_holds_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bytes of JSON are an object of a hundred in memory."""
    monkeypatch.setattr(json_values, "MAX_VALUES", 1000)
    with pytest.raises(UnreadableAnswer, match="more than 1000 values"):
        parse_json(b"[" + b"{}," * 1000 + b"{}]")
    assert len(parse_json(b"[" + b"{}," * 400 + b"{}]")) == 401


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_numbers_of_databases_are_exact(number: Decimal) -> None:
    assert decimal_of(str(number)) == number


@given(st.text(max_size=12) | st.from_regex(r"[+-]{0,2}[0-9.]*(e[+-]?[0-9]*)?(nan|inf)?"))
def test_a_text_is_a_number_or_unreadable(text: str) -> None:
    try:
        number = decimal_of(text)
    except UnreadableAnswer:
        return
    assert not number.is_finite() or len(format(number, "f")) < 10_000
    assert not number.is_snan()
