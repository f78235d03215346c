"""Values of Tryton's JSON-RPC: objects with `__class__` for types that JSON doesn't have. Pure.

The forms are those of `trytond/protocols/jsonrpc.py`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from connectors.http.json_values import decimal_of, parse_json

_DATE = ("year", "month", "day")
_TIME = ("hour", "minute", "second", "microsecond")


def _parts(packed: Mapping[str, Any], names: tuple[str, ...]) -> list[int]:
    parts = [packed[name] for name in names]
    if not all(type(part) is int for part in parts):
        raise TypeError("a part of a timestamp that is no whole number")
    return parts


_DECODERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "datetime": lambda packed: datetime(*_parts(packed, _DATE + _TIME)),  # type: ignore[arg-type]  # noqa: DTZ001 - the ERP's local form
    "date": lambda packed: date(*_parts(packed, _DATE)),
    "time": lambda packed: time(*_parts(packed, _TIME)),  # type: ignore[arg-type]
    "timedelta": lambda packed: timedelta(seconds=packed["seconds"]),
    "bytes": lambda packed: b64decode(packed["base64"]),
    "Decimal": lambda packed: decimal_of(packed["decimal"]),
}


def _decoded(packed: dict[str, Any]) -> Any:
    """An invalid value of its class stays unchanged, so that only its row is refused."""
    class_name = packed.get("__class__")
    decode = _DECODERS.get(class_name) if isinstance(class_name, str) else None
    if decode is None:
        return packed
    try:
        return decode(packed)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return packed


def _encoded(value: Any) -> Any:
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value
        return {"__class__": "datetime", **{name: getattr(value, name) for name in _DATE + _TIME}}
    if isinstance(value, date):
        return {"__class__": "date", **{name: getattr(value, name) for name in _DATE}}
    if isinstance(value, time):
        return {"__class__": "time", **{name: getattr(value, name) for name in _TIME}}
    if isinstance(value, timedelta):
        return {"__class__": "timedelta", "seconds": value.total_seconds()}
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"__class__": "bytes", "base64": b64encode(value).decode()}
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} can't be sent to Tryton")


def loads(text: bytes | str) -> Any:
    """The value of an answer. Raises UnreadableAnswer."""
    return parse_json(text, parse_float=float, object_hook=_decoded)


def dumps(value: Any) -> bytes:
    """The content of a call. Timestamps with a zone are sent in UTC, as Tryton keeps them."""
    return json.dumps(value, default=_encoded, separators=(",", ":")).encode()
