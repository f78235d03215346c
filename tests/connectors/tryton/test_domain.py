"""Conditions as domains, held against what they mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import TableUse
from bridge.model.errors import Rejected
from connectors.tryton.metadata.model import model_of
from connectors.tryton.metadata.model_table import ModelTable
from connectors.tryton.protocol.domain import domain_of, domain_of_keys

TABLE = ModelTable(
    model_of(
        "m",
        {
            "id": {"type": "integer"},
            "a": {"type": "integer"},
            "b": {"type": "integer"},
            "c": {"type": "char"},
            "price": {"type": "numeric"},
            "total": {"type": "numeric", "searchable": False},
        },
    ),
    TableUse("m"),
)
numbers = st.none() | st.integers(0, 3)
columns = ("a", "b", "c")
rows = st.fixed_dictionaries({"a": numbers, "b": numbers, "c": st.none() | st.sampled_from("xy")})


def holds(domain: list[Any], row: dict[str, Any]) -> bool:
    """What Tryton makes of a domain."""
    if domain and domain[0] == "OR":
        return any(holds(part, row) for part in domain[1:])
    if domain and isinstance(domain[0], str):
        name, operator, value = domain
        if operator == "in":
            return row.get(name) in value
        return bool(row.get(name, 1) == value)
    return all(holds(part, row) for part in domain)


@given(rows, st.integers(1, 3), st.lists(rows, max_size=8))
def test_rows_whose_columns_equal_one_of_the_keys_and_no_others(
    row: dict[str, Any], width: int, wanted: list[dict[str, Any]]
) -> None:
    names = columns[:width]
    keys = [tuple(wanted_row[name] for name in names) for wanted_row in wanted]
    key = tuple(row[name] for name in names)
    # As in SQL: a null equals nothing.
    expected = None not in key and key in keys
    assert holds(domain_of_keys(TABLE, names, keys), row) == expected


@given(rows, st.dictionaries(st.sampled_from("ab"), numbers | st.lists(st.integers(0, 3))))
def test_a_condition_of_columns_that_equal_a_value_or_one_of_several(
    row: dict[str, Any], where: dict[str, Any]
) -> None:
    expected = all(
        row[name] in value if isinstance(value, list) else row[name] == value
        for name, value in where.items()
    )
    assert holds(domain_of(TABLE, where), row) == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("nope", 1, "there is no such field"),
        ("total", 1, "a function field that can't be searched"),
        ("_timestamp", "1", "there is no such field"),
        ("price", "much", "field 'price'"),
    ],
)
def test_what_cannot_be_asked_for_is_rejected_by_name(name: str, value: Any, words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        domain_of(TABLE, {name: value})
    assert caught.value.code == "bad_key"
    with pytest.raises(Rejected, match=words):
        domain_of_keys(TABLE, ["a", name], [(1, value)])
