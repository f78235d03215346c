"""Key values as JSON and back: a chunk's resume state must be read with the same types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.encoded_text import EncodedText

_READ: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "text": EncodedText.fromhex,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
    "integer": int,
    "float": float,
}


def pack_value(value: Any) -> Any:
    """One key value as JSON: text, booleans and null as they are, the rest as [kind, text]."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, EncodedText):
        return ["text", value.hex()]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, int):
        return ["integer", str(value)]
    if isinstance(value, float):
        return ["float", repr(value)]
    if isinstance(value, Decimal):
        return ["decimal", str(value)]
    if isinstance(value, datetime):
        return ["datetime", value.isoformat()]
    if isinstance(value, date):
        return ["date", value.isoformat()]
    if isinstance(value, time):
        return ["time", value.isoformat()]
    if isinstance(value, UUID):
        return ["uuid", str(value)]
    raise TypeError(f"a key value of type {type(value).__name__} can't be resumed after")


def unpack_value(value: Any) -> Any:
    """Restores the value that `packed` got."""
    if isinstance(value, list):
        kind, text = value
        return _READ[kind](text)
    return value
