"""Schemas of entities: what fastavro takes, and what never changes."""

import json
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import framing
from bridge.model.avro import (
    OPS,
    change_schema,
    key_schema,
    row_schema,
    schema_text,
    type_schema,
)
from bridge.model.types import KEY_TYPES, Entity, Field, FieldType, parse_type
from tests.model.test_types import TYPES

ENTITY = Entity(
    "erp",
    "order",
    ("no", "item"),
    (
        Field("total", parse_type("decimal(15,2)")),
        Field("item", parse_type("decimal(6,0)")),
        Field("no", parse_type("integer")),
        Field("tags", parse_type("array(string)")),
    ),
)


@given(st.lists(TYPES, max_size=5))
def test_fastavro_takes_every_schema(types: list[FieldType]) -> None:
    fields = [Field("k", FieldType("string"))]
    fields += [Field(f"f{at}", kind) for at, kind in enumerate(types)]
    entity = Entity("erp", "order", ("k",), tuple(fields))
    for schema in (change_schema(entity), row_schema(entity), key_schema(entity)):
        fastavro.parse_schema(json.loads(schema_text(schema)))


def test_names_are_those_of_the_contract() -> None:
    change = change_schema(ENTITY)
    assert (change["namespace"], change["name"]) == ("erp.order", "Change")
    assert [field["name"] for field in change["fields"]] == [
        "op",
        "before",
        "after",
        "unavailable",
        "position",
        "transaction",
        "occurred_at",
        "captured_at",
    ]
    assert change["fields"][0]["type"]["symbols"] == list(OPS)
    row = row_schema(ENTITY)
    assert (row["namespace"], row["name"]) == ("erp.order", "Row")


def test_every_field_but_the_key_may_be_null_and_is_so_by_default() -> None:
    by_name = {field["name"]: field for field in row_schema(ENTITY)["fields"]}
    assert by_name["no"] == {"name": "no", "type": "long"}
    assert "default" not in by_name["item"]
    assert by_name["total"]["type"][0] == "null"
    assert by_name["total"]["default"] is None


def test_the_key_is_canonical() -> None:
    """A key schema never evolves: no docs, no defaults, no logical types."""
    assert schema_text(key_schema(ENTITY)) == (
        '{"type":"record","name":"Key","namespace":"erp.order","fields":'
        '[{"name":"no","type":"long"},{"name":"item","type":"string"}]}'
    )


@pytest.mark.parametrize("kind", sorted(KEY_TYPES))
def test_a_key_field_is_a_long_a_boolean_or_text(kind: str) -> None:
    entity = Entity("erp", "order", ("k",), (Field("k", FieldType(kind, 5, 1)),))
    [field] = key_schema(entity)["fields"]
    assert field["type"] == {"integer": "long", "boolean": "boolean"}.get(kind, "string")


def test_the_text_of_a_schema_is_the_same_everywhere() -> None:
    assert schema_text({"b": 1, "a": ["ä"]}) == '{"b":1,"a":["ä"]}'


def test_logical_types_are_not_shared_between_schemas() -> None:
    schema: Any = type_schema(FieldType("date"))
    schema["doc"] = "changed by a caller"
    assert "doc" not in type_schema(FieldType("date"))


@given(st.integers(0, 2**32 - 1), st.binary(max_size=8))
def test_the_wire_format_is_confluents(schema_id: int, rest: bytes) -> None:
    framed = framing.header(schema_id) + rest
    assert framed[:5] == struct.pack(">BI", 0, schema_id)
    assert framing.schema_id(framed) == schema_id


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\1\0\0\0\0"])
def test_bytes_in_another_format_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="wire format"):
        framing.schema_id(data)


def test_a_schema_id_beyond_32_bits_is_refused() -> None:
    with pytest.raises(struct.error):
        framing.header(2**32)
