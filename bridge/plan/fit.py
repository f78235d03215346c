# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""Fits a value to a field type: exactly, or not at all.

The same rules hold for what any source decodes to and for what people ask for, so that a row
that was read equals the event of the same state. `docs/types.md` lists them.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any
from uuid import UUID

from bridge.model.canonical import instant_text
from bridge.model.types import FieldType
from bridge.plan.refuse import Refusal

Fit = Callable[[Any], Any]

MIN_LONG, MAX_LONG = -(2**63), 2**63 - 1
#: Enough digits for every decimal type; inexact results are errors.
EXACT = Context(prec=5000, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation, Inexact])

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")


def fitter(kind: FieldType) -> Fit:
    """The function that fits a value (not None) to `kind`, or raises Refusal."""
    if kind.kind == "decimal":
        return _decimal(kind)
    if kind.kind == "array":
        assert kind.item is not None, "an array type always has an item type"  # noqa: S101
        return _array(kind)
    return _FITS[kind.kind]


def _refuse(kind: str, value: Any) -> Refusal:
    return Refusal(f"a {type(value).__name__} that doesn't fit {kind}", value)


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
    raise _refuse("boolean", value)


def _integer(value: Any) -> int:
    if type(value) is int:
        number = value
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
    elif isinstance(value, (bool, float, Decimal, str, int)):
        exact = number_of(value)
        if exact != exact.to_integral_value():
            raise Refusal("a fraction, where an integer is declared", value)
        number = int(exact)
    else:
        raise _refuse("integer", value)
    if not MIN_LONG <= number <= MAX_LONG:
        raise Refusal("a number beyond 64 bits", value)
    return number


def number_of(value: Any) -> Decimal:
    """The finite number that `value` is, exactly; floats by their shortest decimal form."""
    if isinstance(value, Decimal):
        found = value
    elif isinstance(value, int):
        found = Decimal(int(value))
    elif isinstance(value, float):
        found = Decimal(repr(value))
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        found = Decimal(value.strip())
    else:
        raise Refusal(f"a {type(value).__name__} that is no number", value)
    if not found.is_finite():
        raise Refusal(f"{found} is no number that a decimal can hold")
    return found


def _double(value: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, str) and (special := _special(value)) is not None:
        return special
    if isinstance(value, Decimal) and not value.is_finite():
        return float(value)
    exact = number_of(value)
    nearest = float(exact)
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != exact:
        raise Refusal("a number that loses digits as a double; declare a decimal type", value)
    return nearest


def _special(text: str) -> float | None:
    return {
        "nan": math.nan,
        "infinity": math.inf,
        "inf": math.inf,
        "-infinity": -math.inf,
        "-inf": -math.inf,
    }.get(text.strip().lower())


def _float(value: Any) -> float:
    wide = _double(value)
    if not math.isfinite(wide):
        return wide
    try:
        narrow: float = struct.unpack("<f", struct.pack("<f", wide))[0]
    except OverflowError:
        raise Refusal("a number beyond 32-bit floats; declare double", value) from None
    if narrow == wide or any(float(f"{narrow:.{n}g}") == wide for n in range(6, 10)):
        return narrow
    raise Refusal("a number that loses digits as a 32-bit float; declare double", value)


def _decimal(kind: FieldType) -> Fit:
    unit = Decimal((0, (1,), -kind.scale))
    limit = Decimal((0, (1,), kind.precision - kind.scale))

    def fit(value: Any) -> Decimal:
        exact = number_of(value)
        try:
            found = exact.quantize(unit, context=EXACT)
        except Inexact:
            raise Refusal(f"more than {kind.scale} digits after the point", value) from None
        except InvalidOperation:
            raise Refusal(f"a number that overflows {kind}", value) from None
        if not -limit < found < limit:
            raise Refusal(f"a number that overflows {kind}", value)
        return found or found.copy_abs()

    return fit


def _string(value: Any) -> str:
    found = text_of(value)
    if not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError:
            raise Refusal("text with a half of a surrogate pair, which UTF-8 can't hold") from None
    return found


def text_of(value: Any) -> str:
    """The one text form of a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else _SPECIAL[str(value).lstrip("s")]
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
        raise Refusal("bytes where text is declared; say their `code_page`, or type: bytes")
    raise _refuse("string", value)


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
    raise _refuse("bytes", value)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        if value.tzinfo is None and value.time() == time():
            return value.date()
        raise Refusal("a time of day, where a date is declared", value)
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        found = _parsed(value, "a date")
        return _date(found)
    raise _refuse("date", value)


def _parsed(value: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise Refusal(f"text that isn't {what} in ISO 8601; say its `format`", value) from None


def _time(value: Any) -> time:
    if isinstance(value, timedelta):
        if timedelta() <= value < timedelta(days=1):
            return (datetime.min + value).time()
        raise Refusal("a duration that is no time of day", value)
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value.strip())
        except ValueError:
            raise Refusal("text that isn't a time in ISO 8601; say its `format`", value) from None
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise _refuse("time", value)


def _timestamp(value: Any) -> datetime:
    if isinstance(value, str):
        value = _parsed(value, "an instant")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Refusal("a local time, where an instant is declared; say its `zone`", value)
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise Refusal("an instant outside of the years 1 to 9999", value) from None
    raise _refuse("timestamp", value)


def _local_timestamp(value: Any) -> datetime:
    if isinstance(value, str):
        value = _parsed(value, "a local time")
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise Refusal("an instant, where a local time is declared", value)
        return value.replace(fold=0)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise _refuse("local_timestamp", value)


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and _UUID.fullmatch(value.strip()):
        return UUID(value.strip())
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) == 16:
        return UUID(bytes=bytes(value))
    raise _refuse("uuid", value)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise _refuse("json", value) from None


def _array(kind: FieldType) -> Fit:
    assert kind.item is not None, "an array type always has an item type"  # noqa: S101
    inner = fitter(kind.item)

    def fit(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise _refuse("array", value)
        return [None if item is None else inner(item) for item in value]

    return fit


_FITS: dict[str, Fit] = {
    "boolean": _boolean,
    "integer": _integer,
    "float": _float,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "local_timestamp": _local_timestamp,
    "uuid": _uuid,
    "json": _json,
}
