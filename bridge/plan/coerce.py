# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""Fits a value to a field type: exactly, or not at all.

The same rules hold for what any source decodes to and for what people ask for, so that a row
that was read equals the event of the same state. `docs/types.md` lists them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.canonical import instant_text
from bridge.model.conversion_error import ConversionError, wrong_type
from bridge.model.types import FieldType
from bridge.plan import coerce_number

Coerce = Callable[[Any], Any]

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})
_FINER = re.compile(r"[.,]\d{6}0*[1-9]")
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")


def coercer(field_type: FieldType) -> Coerce:
    """The function that fits a value (not None) to `field_type`, or raises Refusal."""
    if field_type.name == "decimal":
        return coerce_number.decimal(field_type)
    if field_type.name == "array":
        assert field_type.item is not None, "an array type always has an item type"  # noqa: S101
        return _array(field_type)
    return _FITS[field_type.name]


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float, Decimal)) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    raise wrong_type("boolean", value)


def _string(value: Any) -> str:
    text = text_of(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConversionError(
                "text with a half of a surrogate pair, which UTF-8 can't hold"
            ) from None
    return text


def text_of(value: Any) -> str:
    """The one text form of a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return _SPECIAL[str(value).lstrip("s")]
        coerce_number.bounded(value)
        return format(value, "f")
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else _SPECIAL[repr(value)]
    if isinstance(value, datetime):
        return instant_text(value) if value.tzinfo else value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        return _json(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ConversionError("bytes where text is declared; say their `code_page`, or type: bytes")
    raise wrong_type("string", value)


_SPECIAL = {
    "nan": "NaN",
    "inf": "Infinity",
    "-inf": "-Infinity",
    "NaN": "NaN",
    "-NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
}


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise wrong_type("bytes", value)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        if value.tzinfo is None and value.time() == time():
            return value.date()
        raise ConversionError("a time of day, where a date is declared", value)
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        parsed = _parsed(value, "a date")
        return _date(parsed)
    raise wrong_type("date", value)


def _parsed(value: str, what: str) -> datetime:
    _refuse_finer(value)
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise ConversionError(
            f"text that isn't {what} in ISO 8601; say its `format`", value
        ) from None


def _refuse_finer(text: str) -> None:
    """Python cuts off what is finer than microseconds without a word."""
    if _FINER.search(text):
        raise ConversionError(
            "a timestamp finer than microseconds; declare `type: string`, which keeps its digits",
            text,
        )


def _time(value: Any) -> time:
    if isinstance(value, timedelta):
        if timedelta() <= value < timedelta(days=1):
            return (datetime.min + value).time()
        raise ConversionError("a duration that is no time of day", value)
    if isinstance(value, str):
        _refuse_finer(value)
        try:
            value = time.fromisoformat(value.strip())
        except ValueError:
            raise ConversionError(
                "text that isn't a time in ISO 8601; say its `format`", value
            ) from None
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise wrong_type("time", value)


def _timestamp(value: Any) -> datetime:
    if isinstance(value, str):
        value = _parsed(value, "an instant")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConversionError(
                "a local time, where an instant is declared; say its `zone`", value
            )
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ConversionError("an instant outside of the years 1 to 9999", value) from None
    raise wrong_type("timestamp", value)


def _local_timestamp(value: Any) -> datetime:
    if isinstance(value, str):
        value = _parsed(value, "a local time")
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise ConversionError("an instant, where a local time is declared", value)
        return value.replace(fold=0)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise wrong_type("local_timestamp", value)


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and _UUID.fullmatch(value.strip()):
        return UUID(value.strip())
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) == 16:
        return UUID(bytes=bytes(value))
    raise wrong_type("uuid", value)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise wrong_type("json", value) from None


def _array(field_type: FieldType) -> Coerce:
    assert field_type.item is not None, "an array type always has an item type"  # noqa: S101
    inner = coercer(field_type.item)

    def fit(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise wrong_type("array", value)
        return [None if item is None else inner(item) for item in value]

    return fit


_FITS: dict[str, Coerce] = {
    "boolean": _boolean,
    "integer": coerce_number.integer,
    "float": coerce_number.single,
    "double": coerce_number.double,
    "string": _string,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "local_timestamp": _local_timestamp,
    "uuid": _uuid,
    "json": _json,
}
