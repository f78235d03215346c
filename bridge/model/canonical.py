"""Canonical JSON (RFC 8785) of keys, arguments and rows, and digests of it.

Decimals and timestamps are strings, so every remaining number is an integer or a float, which
JavaScript's shortest form writes the same way everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

MAX_SAFE_INTEGER = 2**53 - 1
LONGEST_SAFE_INTEGER = 17
"""Characters, including the sign."""
MAX_DECIMAL_EXPONENT = 200_000
"""Decimal places before or after the point; PostgreSQL's numeric has up to 131,072."""


def instant_text(value: datetime) -> str:
    """An aware datetime in UTC with microseconds, `2026-01-31T10:00:00.000000Z`."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def plain(value: Any) -> Any:
    """`value` with JSON's own types only.

    Raises TypeError for what has no canonical form, ValueError for numbers that are too long and for
    names of an object that are equal as text.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)  # over 4,300 digits: raises
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        return value
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, datetime):
        return instant_text(value) if value.tzinfo else value.isoformat(timespec="microseconds")
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        named = {str(name): plain(item) for name, item in value.items()}
        if len(named) != len(value):
            message = "an object has two names that are the same once they are text"
            raise ValueError(message)
        return named
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    message = f"{type(value).__name__} has no canonical JSON form"
    raise TypeError(message)


def _decimal_text(value: Decimal) -> str:
    if not -MAX_DECIMAL_EXPONENT <= value.adjusted() <= MAX_DECIMAL_EXPONENT:
        # Eleven characters such as 1e300000000 would become that many digits.
        message = f"a decimal of more than {MAX_DECIMAL_EXPONENT} digits has no canonical form"
        raise ValueError(message)
    return format(value, "f")


def _number(value: float) -> str:
    """ECMAScript's Number::toString for a finite double (RFC 8785, section 3.2.2.3)."""
    if value == 0:
        return "0"
    mantissa, _, exponent = float.__repr__(value).partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction.rstrip("0")) if fraction.rstrip("0") else whole
    point = len(whole) + (int(exponent) if exponent else 0)
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0") or "0"
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent_text = f"{point - 1:+d}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if count > 1 else ''}e{exponent_text}"


def _write(value: Any) -> str:
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_write(name)}:{_write(item)}" for name, item in ordered) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_write(item) for item in value) + "]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """The canonical JSON text of `value`. Raises as `plain`, and RecursionError for excessive
    nesting.
    """
    return _write(plain(value))


def parse_canonical(text: str) -> Any:
    """Parse a canonical JSON text to a value whose canonical form is the same text.

    A number beyond `MAX_SAFE_INTEGER` is a float, because such integers are text. Raises
    ValueError, RecursionError.
    """
    return json.loads(text, parse_int=_parsed_number)


def _parsed_number(text: str) -> int | float:
    if len(text) > LONGEST_SAFE_INTEGER or abs(int(text)) > MAX_SAFE_INTEGER:
        return float(text)
    return int(text)


def sha256_hex(*parts: Any) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of the list of `parts`."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()
