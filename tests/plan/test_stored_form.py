"""Keys and values made of what people ask for are those that the log holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.connector import Column, Shape
from bridge.model.errors import Rejected
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import Wire

TYPES = {
    "integer": FieldType("integer"),
    "string": FieldType("string"),
    "uuid": FieldType("uuid"),
    "date": FieldType("date"),
    "boolean": FieldType("boolean"),
    "timestamp": FieldType("timestamp"),
    "decimal": FieldType("decimal", 12, 3),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(max_size=20),
    "uuid": st.uuids(),
    "date": st.dates(),
    "boolean": st.booleans(),
    "timestamp": st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1970 < at.year < 2200),
    "decimal": st.decimals(-1000000, 1000000, places=3),
}


def table_of(
    *types: FieldType, exact_text: bool = False, fields: tuple[FieldSpec, ...] = ()
) -> tuple[EntityTable, Shape]:
    names = [f"f{number}" for number in range(len(types))]
    columns = tuple(
        Column(name, kind.name, kind, "python", exact_text=exact_text)
        for name, kind in zip(names, types, strict=True)
    )
    shape = Shape("t", columns, Wire.PYTHON)
    spec = EntitySpec("erp", "thing", "t", key=tuple(names), fields=fields)
    return EntityTable(spec, entity_type(spec, shape), shape), shape


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_a_key_that_is_asked_for_is_the_key_of_its_row(name: str, data: st.DataObject) -> None:
    table, shape = table_of(TYPES[name], TYPES["integer"])
    values = (data.draw(VALUES[name]), data.draw(VALUES["integer"]))
    source = table.outward(("f0", "f1"), values)
    [stored] = table.stored_keys(shape, [values])
    assert table.stored_key(values, source) == stored
    row = table.row(shape, values)
    assert table.stored_values(("f0", "f1"), values, source) == (row.f0, row.f1)


@pytest.mark.parametrize(
    ("kind", "form", "same"),
    [
        ("integer", "7", 7),
        ("decimal", "1.5", Decimal("1.500")),
        ("uuid", "6BA7B8109DAD11D180B400C04FD430C8", UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("date", "2026-01-31", date(2026, 1, 31)),
    ],
)
def test_another_form_of_a_value_is_the_same_key(kind: str, form: Any, same: Any) -> None:
    table, _ = table_of(TYPES[kind])
    keys = {table.stored_key((v,), table.outward(("f0",), (v,))) for v in (form, same)}
    assert len(keys) == 1


def test_which_equality_of_the_source_is_that_of_the_log() -> None:
    for name, kind in TYPES.items():
        table, _ = table_of(kind)
        assert table.is_exact(("f0",)) is (name != "string"), name
    assert table_of(TYPES["string"], exact_text=True)[0].is_exact(("f0",))
    spec = EntitySpec("erp", "thing", "t", key=("id",))
    columns = [Column(kind, kind, FieldType(kind), "python") for kind in ("integer", "double")]
    shape = Shape("t", (replace(columns[0], name="id"), columns[1]), Wire.PYTHON)
    table = EntityTable(spec, entity_type(spec, shape), shape)
    assert not table.is_exact(("double",)), "0.0 and -0.0"
    both, _ = table_of(TYPES["string"], TYPES["integer"])
    assert not both.is_exact(("f1", "f0"))


def test_a_field_that_is_made_by_steps_is_not_exact_and_known_where_it_leads_back() -> None:
    trimmed = FieldSpec("f0", columns=("f0",), trim=True)
    table, shape = table_of(TYPES["string"], exact_text=True, fields=(trimmed,))
    assert not table.is_exact(("f0",))
    assert table.stored_key(("a",), ("a",)) == table.stored_keys(shape, [("a  ",)])[0]
    # The source may tell `a` and `a ` apart: which of them the row in the log is, nobody can say.
    assert table.stored_key(("a ",), ("a ",)) is None


def test_a_value_of_another_type_is_refused_by_name() -> None:
    table, _ = table_of(TYPES["integer"])
    with pytest.raises(Rejected, match="f0"):
        table.outward(("f0",), ("seven",))
