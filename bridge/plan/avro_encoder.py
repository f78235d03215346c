# ruff: noqa: DTZ001 - local times have no zone
"""Python values of field types to Avro bytes, and keys to their canonical forms.

Avro 1.11, binary encoding: https://avro.apache.org/docs/1.11.1/specification/
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context
from typing import Any

from bridge.model.types import FieldType
from bridge.plan.coerce import text_of

Encode = Callable[[Any], bytes]

_DAY_0 = date(1970, 1, 1).toordinal()
_LOCAL_0 = datetime(1970, 1, 1)
_INSTANT_0 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encoder(field_type: FieldType) -> Encode:
    """The function that writes a fitted value of `field_type`."""
    if field_type.name == "decimal":
        scale = field_type.scale
        return lambda value: _bytes(unscaled_bytes(int(value.scaleb(scale, _WIDE))))
    if field_type.name == "array":
        assert field_type.item is not None, "an array type always has an item type"  # noqa: S101
        return _array(encoder(field_type.item))
    return _ENCODERS[field_type.name]


def key_encoder(field_type: FieldType) -> Encode:
    """The function that writes a fitted value of `field_type` as a key field."""
    if field_type.name in {"integer", "boolean", "string", "uuid"}:
        return _ENCODERS[field_type.name]
    return lambda value: _string(key_form(value, field_type))


def key_form(value: Any, field_type: FieldType) -> Any:
    """A key field's value as the key's own schema holds it: int, bool or text."""
    if field_type.name in {"integer", "boolean"}:
        return value
    return text_of(value)


def long_bytes(value: int) -> bytes:
    """A long or int: zigzag, then seven bits a byte."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def unscaled_bytes(value: int) -> bytes:
    """The shortest big-endian two's complement."""
    length = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return value.to_bytes(length, "big", signed=True)


def _bytes(value: bytes) -> bytes:
    return long_bytes(len(value)) + value


def _string(value: str) -> bytes:
    return _bytes(value.encode())


def micros(value: timedelta) -> int:
    """Whole microseconds of a duration, exactly."""
    return value // _MICROSECOND


def _time(value: time) -> bytes:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return long_bytes(seconds * 1_000_000 + value.microsecond)


def _array(item: Encode) -> Encode:
    def encode(values: list[Any]) -> bytes:
        if not values:
            return b"\0"
        parts = [b"\0" if value is None else b"\2" + item(value) for value in values]
        return long_bytes(len(values)) + b"".join(parts) + b"\0"

    return encode


_WIDE = Context(prec=5000)

_ENCODERS: dict[str, Encode] = {
    "boolean": lambda value: b"\1" if value else b"\0",
    "integer": long_bytes,
    "float": struct.Struct("<f").pack,
    "double": struct.Struct("<d").pack,
    "string": _string,
    "json": _string,
    "bytes": _bytes,
    "date": lambda value: long_bytes(value.toordinal() - _DAY_0),
    "time": _time,
    "timestamp": lambda value: long_bytes(micros(value - _INSTANT_0)),
    "local_timestamp": lambda value: long_bytes(micros(value - _LOCAL_0)),
    "uuid": lambda value: _string(str(value)),
}
