# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""Readers of single values in Avro bytes, made from the schema that they were written with."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.errors import ConfigurationError
from bridge.model.types import FieldType
from bridge.plan.execute import (
    ARRAY_CODE,
    BOOLEAN_CODE,
    BYTES_CODE,
    DOUBLE_CODE,
    FLOAT_CODE,
    LONG_CODE,
    NULLABLE,
    read_bytes,
    read_end,
    read_long,
)

ReadValue = Callable[[bytes, int], Any]
"""From the bytes and where the value begins to the value."""

_CODES = {
    "boolean": BOOLEAN_CODE,
    "int": LONG_CODE,
    "long": LONG_CODE,
    "float": FLOAT_CODE,
    "double": DOUBLE_CODE,
    "string": BYTES_CODE,
    "bytes": BYTES_CODE,
}
_DAY_0 = date(1970, 1, 1).toordinal()
_INSTANT_0 = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_0 = datetime(1970, 1, 1)


def codes(schema: Any) -> bytes:
    """How a field of this schema is encoded, for `execute.scan`.

    Raises ConfigurationError for a schema that the bridge doesn't write.
    """
    null, inner = parts(schema)
    name = inner if isinstance(inner, str) else inner["type"]
    flag = NULLABLE if null else 0
    if name == "array":
        return bytes([ARRAY_CODE | flag]) + codes(inner["items"])
    if name not in _CODES:
        raise ConfigurationError(f"the Avro type {name!r} isn't one that the bridge writes")
    return bytes([_CODES[name] | flag])


def parts(schema: Any) -> tuple[bool, Any]:
    """Whether null is possible, and the schema of what else there may be."""
    if not isinstance(schema, list):
        return False, schema
    others = [branch for branch in schema if branch != "null"]
    if len(others) != 1 or schema[0] != "null":
        raise ConfigurationError(f"the Avro union {schema!r} isn't one that the bridge writes")
    return True, others[0]


def reader(schema: Any) -> ReadValue:
    """The reader of a value (not null) that this schema wrote."""
    _, inner = parts(schema)
    if isinstance(inner, str):
        return _PLAIN[inner]
    logical = inner.get("logicalType")
    if logical == "decimal":
        scale = inner.get("scale", 0)
        return lambda data, at: decimal_of(read_bytes(data, at), scale)
    if inner["type"] == "array":
        return _array(inner["items"])
    return _LOGICAL.get(logical) or _PLAIN[inner["type"]]


def decimal_of(unscaled: bytes, scale: int) -> Decimal:
    """An Avro decimal, with exactly `scale` digits after the point."""
    # From text, because that rounds nothing whatever the context's precision.
    return Decimal(f"{int.from_bytes(unscaled, 'big', signed=True)}E-{scale}")


def instant_of(micros: int) -> datetime:
    """Microseconds since 1970 as an aware instant."""
    return _INSTANT_0 + timedelta(microseconds=micros)


def _array(items: Any) -> ReadValue:
    null, inner = parts(items)
    read, code = reader(items), codes(inner)

    def values(data: bytes, at: int) -> list[Any]:
        items_read: list[Any] = []
        while count := read_long(data, at):
            at = read_end(data, at, _LONG)
            if count < 0:
                count, at = -count, read_end(data, at, _LONG)
            for _ in range(count):
                if null:
                    branch = read_long(data, at)
                    at = read_end(data, at, _LONG)
                    if branch == 0:
                        items_read.append(None)
                        continue
                items_read.append(read(data, at))
                at = read_end(data, at, code)
        return items_read

    return values


_LONG = bytes([LONG_CODE])

_PLAIN: dict[str, ReadValue] = {
    "boolean": lambda data, at: data[at] == 1,
    "int": read_long,
    "long": read_long,
    "float": lambda data, at: struct.unpack_from("<f", data, at)[0],
    "double": lambda data, at: struct.unpack_from("<d", data, at)[0],
    "string": lambda data, at: read_bytes(data, at).decode(),
    "bytes": read_bytes,
}
_LOGICAL: dict[str | None, ReadValue] = {
    "date": lambda data, at: date.fromordinal(read_long(data, at) + _DAY_0),
    "time-micros": lambda data, at: (
        datetime.min + timedelta(microseconds=read_long(data, at))
    ).time(),
    "timestamp-micros": lambda data, at: instant_of(read_long(data, at)),
    "local-timestamp-micros": lambda data, at: (
        _LOCAL_0 + timedelta(microseconds=read_long(data, at))
    ),
    "uuid": lambda data, at: UUID(read_bytes(data, at).decode()),
}


def from_key(value: Any, field_type: FieldType) -> Any:
    """The field's own Python value of a key field in key bytes."""
    if field_type.name == "decimal":
        return Decimal(value)
    if field_type.name == "uuid":
        return UUID(value)
    if field_type.name == "date":
        return date.fromisoformat(value)
    if field_type.name in {"timestamp", "local_timestamp"}:
        return datetime.fromisoformat(value)
    return value
