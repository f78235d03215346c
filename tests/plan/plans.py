# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""Shapes, plans and raw rows for tests, and PostgreSQL's binary forms written independently."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro

from bridge.connector import Column, Shape
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import Entity, parse_type
from bridge.plan.entity_type import entity_type
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import MISSING, Plan, Wire

CAPTURED = 1_700_000_000_123_456

LOCAL_2000 = datetime(2000, 1, 1)
INSTANT_2000 = datetime(2000, 1, 1, tzinfo=UTC)


class Text(str):
    """A raw value that is sent in pgoutput's text form."""

    __slots__ = ()


def shape(
    columns: Sequence[tuple[str, str, str]],
    wire: Wire = Wire.PGOUTPUT,
    key: Sequence[str] = ("id",),
) -> Shape:
    """Columns as (name, wire code, field type)."""
    return Shape(
        "public.t",
        tuple(
            Column(name, code, parse_type(kind), code, nullable=name not in key, key=name in key)
            for name, code, kind in columns
        ),
        wire,
    )


def plan_of(
    source_shape: Shape, fields: Sequence[FieldSpec] = (), key: Sequence[str] = ()
) -> tuple[Entity, Plan]:
    spec = EntitySpec("erp", "order", "public.t", tuple(key), tuple(fields))
    entity = entity_type(spec, source_shape)
    return entity, make_plan(spec, entity, source_shape)


def pgoutput(values: Sequence[bytes | Text | Any | None]) -> bytes:
    """One TupleData: bytes binary, Text text, None null, MISSING unchanged."""
    parts = [struct.pack(">h", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is MISSING:
            parts.append(b"u")
        elif isinstance(value, Text):
            data = value.encode()
            parts.append(b"t" + struct.pack(">i", len(data)) + data)
        else:
            parts.append(b"b" + struct.pack(">i", len(value)) + value)
    return b"".join(parts)


def pgcopy(values: Sequence[bytes | None]) -> bytes:
    """One row of COPY BINARY."""
    return struct.pack(">h", len(values)) + b"".join(
        struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value
        for value in values
    )


def read_change(entity: Entity, value: bytes, schema_id: int = 2) -> dict[str, Any]:
    """What fastavro reads of a framed change, the authority on what it says."""
    assert value[:5] == struct.pack(">bI", 0, schema_id)
    stream = io.BytesIO(value[5:])
    schema = fastavro.parse_schema(json.loads(schema_text(change_schema(entity))))
    change: Any = fastavro.schemaless_reader(stream, schema, None)
    assert stream.read() == b"", "nothing stands behind the record"
    assert isinstance(change, dict)
    return change


def read_key(entity: Entity, key: bytes, schema_id: int = 1) -> dict[str, Any]:
    """What fastavro reads of a framed key."""
    assert key[:5] == struct.pack(">bI", 0, schema_id)
    stream = io.BytesIO(key[5:])
    key_record: Any = fastavro.schemaless_reader(
        stream, fastavro.parse_schema(key_schema(entity)), None
    )
    assert stream.read() == b""
    assert isinstance(key_record, dict)
    return key_record


# -- PostgreSQL's binary forms, from its documentation, for tests without a server -----------


def numeric(value: Decimal) -> bytes:
    """A numeric as numeric_send writes it."""
    if not value.is_finite():
        sign = 0xC000 if value.is_nan() else (0xF000 if value < 0 else 0xD000)
        return struct.pack(">hhHH", 0, 0, sign, 0)
    text = format(value.copy_abs(), "f")
    whole, _, fraction = text.partition(".")
    scale = len(fraction)
    whole = whole.zfill(-(-len(whole) // 4) * 4)
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = [int((whole + fraction)[at : at + 4]) for at in range(0, len(whole + fraction), 4)]
    weight = len(whole) // 4 - 1
    while digits and digits[0] == 0:
        digits.pop(0)
        weight -= 1
    while digits and digits[-1] == 0:
        digits.pop()
    if not digits:
        weight = 0
    sign = 0x4000 if value < 0 else 0
    return struct.pack(f">hhHH{len(digits)}H", len(digits), weight, sign, scale, *digits)


def micros(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


def binary(code: str, value: Any) -> bytes:
    """A Python value in the binary form of a wire code."""
    simple = {"int2": ">h", "int4": ">i", "int8": ">q", "oid": ">I", "float4": ">f", "float8": ">d"}
    if code in simple:
        return struct.pack(simple[code], value)
    if code == "bool":
        return b"\1" if value else b"\0"
    if code == "numeric":
        return numeric(value)
    if code == "bytea":
        return bytes(value)
    if code == "jsonb":
        return b"\1" + str(value).encode()
    if code == "date":
        assert isinstance(value, date)
        return struct.pack(">i", (value - date(2000, 1, 1)).days)
    if code == "time":
        assert isinstance(value, time)
        return struct.pack(">q", micros(datetime.combine(date.min, value) - datetime.min))
    if code == "timestamp":
        return struct.pack(">q", micros(value - LOCAL_2000))
    if code == "timestamptz":
        return struct.pack(">q", micros(value - INSTANT_2000))
    if code == "uuid":
        assert isinstance(value, UUID)
        return value.bytes
    if code.startswith("array("):
        item = code[6:-1]
        if not value:
            return struct.pack(">iiI", 0, 0, 0)
        parts = [struct.pack(">iiIii", 1, int(None in value), 0, len(value), 1)]
        for each in value:
            data = None if each is None else binary(item, each)
            parts.append(
                struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
            )
        return b"".join(parts)
    return str(value).encode()


def text(code: str, value: Any) -> Text:
    """A Python value in PostgreSQL's text form of a wire code."""
    if code == "bool":
        return Text("t" if value else "f")
    if code == "numeric":
        assert isinstance(value, Decimal)
        if not value.is_finite():
            return Text("NaN" if value.is_nan() else ("Infinity" if value > 0 else "-Infinity"))
        return Text(format(value, "f"))
    if code == "bytea":
        return Text("\\x" + value.hex())
    if code in {"float4", "float8"}:
        return Text(repr(value).replace("inf", "Infinity").replace("nan", "NaN"))
    if code == "timestamptz":
        return Text(value.isoformat(sep=" ").replace("+00:00", "+00"))
    if code == "timestamp":
        return Text(value.isoformat(sep=" "))
    if code.startswith("array("):
        parts = []
        for each in value:
            if each is None:
                parts.append("NULL")
                continue
            inner = text(code[6:-1], each)
            parts.append('"' + inner.replace("\\", "\\\\").replace('"', '\\"') + '"')
        return Text("{" + ",".join(parts) + "}")
    return Text(value)
