"""Argument values: from JSON, where decimals and timestamps are text, to what a driver binds."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from bridge.model.conversion_error import ConversionError
from bridge.model.error_text import describe_error
from bridge.model.types import FieldType

MAX_LONG = 2**63 - 1
_WHOLE = re.compile("-?[0-9]{1,100}")
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def value_of(field_type: FieldType, argument: Any) -> Any:
    """`argument` as a Python value of `field_type` (see `bridge.model.types`). Raises ConversionError, and nothing else,
    whatever `argument` is.

    Accepts JSON's form, and values that already have the type.
    """
    try:
        return _converted(field_type, argument)
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(f"can't be read as {field_type} ({describe_error(error)})") from error


def _converted(field_type: FieldType, argument: Any) -> Any:
    if field_type.name == "decimal":
        return _decimal(field_type, argument)
    if field_type.name == "array":
        return _array(field_type, argument)
    return _SIMPLE[field_type.name](argument)


def _unfit(expected: str, argument: Any) -> ConversionError:
    return ConversionError(
        f"should be {expected}, not {type(argument).__name__} {_excerpt(argument)}"
    )


def _excerpt(argument: Any) -> str:
    """The beginning of a value that may be of any size."""
    return repr(argument[:60] if isinstance(argument, (str, bytes)) else argument)[:60]


def _boolean(argument: Any) -> bool:
    if isinstance(argument, bool):
        return argument
    raise _unfit("true or false", argument)


def _integer(argument: Any) -> int:
    # Integers that a JSON number can't represent exactly are text.
    if isinstance(argument, str) and _WHOLE.fullmatch(argument):
        argument = int(argument)
    if isinstance(argument, bool) or not isinstance(argument, int):
        raise _unfit("a whole number", argument)
    if not -MAX_LONG - 1 <= argument <= MAX_LONG:
        raise ConversionError("should fit 64 bits")
    return argument


def _double(argument: Any) -> float:
    if isinstance(argument, str) and argument in SPECIAL:
        return SPECIAL[argument]
    if isinstance(argument, bool) or not isinstance(argument, (int, float)):
        raise _unfit("a number", argument)
    return float(argument)


def _decimal(field_type: FieldType, argument: Any) -> Decimal:
    if isinstance(argument, bool) or not isinstance(argument, (str, int, Decimal)):
        raise _unfit(f'a {field_type} written as text, like "9.90"', argument)
    try:
        number = Decimal(argument)
    except InvalidOperation:
        raise _unfit(f"a {field_type}", argument) from None
    if not number.is_finite():
        raise _unfit(f"a {field_type}", argument)
    digits, exponent = number.as_tuple().digits, int(number.as_tuple().exponent)
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0")) if number else len(digits)
    if -exponent - trailing > field_type.scale:
        raise ConversionError(
            f"should have at most {field_type.scale} digits after the point, not {_excerpt(argument)}"
        )
    if number and number.adjusted() >= field_type.precision - field_type.scale:
        raise ConversionError(
            f"should be a {field_type}; {_excerpt(argument)} has too many digits before the point"
        )
    # A zero may have any exponent, which would become as many digits.
    return number if number or exponent <= 0 else Decimal(0)


def _string(argument: Any) -> str:
    if isinstance(argument, str):
        return argument
    raise _unfit("text", argument)


def _bytes(argument: Any) -> bytes:
    if isinstance(argument, bytes):
        return argument
    try:
        return base64.b64decode(_string(argument), validate=True)
    except ValueError:
        raise _unfit("bytes as base64 text", argument) from None


def _parsed(expected: str, exact: type, parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(argument: Any) -> Any:
        if type(argument) is exact:
            return argument
        if isinstance(argument, str):
            try:
                return parse(argument)
            except ConversionError:
                raise
            except ValueError:
                pass
        raise _unfit(expected, argument)

    return read


def _instant(text: str) -> datetime:
    return _with_zone(datetime.fromisoformat(text), text)


def _with_zone(value: datetime, text: Any) -> datetime:
    if value.tzinfo is None:
        raise ConversionError(
            f"should be a timestamp with its zone, like 2026-01-31T10:00:00Z, not {text!r:.60}"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ConversionError(
            f"should be in the years 1 to 9999 of UTC, which {text!r:.60} is not"
        ) from None


def _timestamp(argument: Any) -> datetime:
    if isinstance(argument, datetime):
        return _with_zone(argument, argument.isoformat())
    read = _parsed("a timestamp like 2026-01-31T10:00:00Z", datetime, _instant)
    value: datetime = read(argument)
    return value


def _local(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is not None:
        raise ConversionError(f"should be a local time without a zone, not {text!r:.60}")
    return value


def _clock_time(text: str) -> time:
    value = time.fromisoformat(text)
    if value.tzinfo is not None:
        raise ConversionError(f"should be a time without a zone, not {text!r:.60}")
    return value


_SIMPLE: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "float": _double,
    "double": _double,
    "string": _string,
    "json": _string,
    "bytes": _bytes,
    "date": _parsed("a date like 2026-01-31", date, date.fromisoformat),
    "time": _parsed("a time like 10:00:00", time, _clock_time),
    "timestamp": _timestamp,
    "local_timestamp": _parsed("a local time like 2026-01-31T10:00:00", datetime, _local),
    "uuid": _parsed("a UUID", UUID, UUID),
}


def _array(field_type: FieldType, argument: Any) -> list[Any]:
    assert field_type.item is not None, "an array type always has an item type"  # noqa: S101
    if not isinstance(argument, (list, tuple)):
        raise _unfit(f"a list ({field_type})", argument)
    return [None if item is None else value_of(field_type.item, item) for item in argument]
