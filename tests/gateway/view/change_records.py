"""Change records as capture writes them, made by another Avro library."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import fastavro

from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.framing import HEADER_SIZE, header
from bridge.model.position import format_position
from bridge.model.types import Entity, Field, FieldType, Relation

CUSTOMER = Entity(
    "erp",
    "customer",
    ("id",),
    (Field("id", FieldType("integer")), Field("name", FieldType("string"))),
    (Relation("orders", "order", by="customer_id"),),
)
ORDER = Entity(
    "erp",
    "order",
    ("id",),
    (
        Field("note", FieldType("string")),
        Field("id", FieldType("integer")),
        Field("customer_id", FieldType("integer")),
        Field("total", FieldType("decimal", 9, 2)),
        Field("weight", FieldType("double")),
        Field("tags", FieldType("array", item=FieldType("string"))),
    ),
    (Relation("customer", "customer", from_field="customer_id"),),
)
ENTITIES = {"customer": CUSTOMER, "order": ORDER}
EXACT = {"customer": ("id",), "order": ("id", "customer_id", "total")}


def order(number: int, customer: int | None = None, note: str | None = None) -> dict[str, Any]:
    """A row of an order."""
    return {
        "note": note,
        "id": number,
        "customer_id": customer,
        "total": Decimal(number).scaleb(-2),
        "weight": None,
        "tags": [note, None] if note else None,
    }


def order_key(number: int, entity: Entity = ORDER) -> bytes:
    """The log's key less its schema id."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(key_schema(entity)), {"id": number})
    return out.getvalue()


def text_of(entity: Entity) -> str:
    """The text of the entity's schema."""
    return schema_text(change_schema(entity))


def change_value(
    row: Mapping[str, Any] | None,
    *,
    commit: int = 1,
    op: str = "update",
    missing: Sequence[str] = (),
    entity: Entity = ORDER,
    schema: int = 1,
    number: int = 0,
    epoch: int = 0,
    before: Mapping[str, Any] | None = None,
) -> bytes:
    """The framed value of a change; the row's missing fields are written as null."""
    change = {
        "op": op,
        "before": before,
        "after": None if row is None else {**row, **dict.fromkeys(missing)},
        "unavailable": list(missing),
        "position": format_position(epoch, commit, number),
        "transaction": str(commit),
        "occurred_at": None,
        "captured_at": 1_700_000_000_000_000,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(change_schema(entity)), change)
    return header(schema) + out.getvalue()


def row_of(payload: bytes, entity: Entity = ORDER) -> dict[str, Any]:
    """The row of header and Avro bytes."""
    schema = change_schema(entity)["fields"][1]["type"][1]
    read = fastavro.schemaless_reader(
        io.BytesIO(payload[HEADER_SIZE:]), fastavro.parse_schema(schema), None
    )
    assert isinstance(read, dict)
    return read
