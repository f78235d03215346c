"""PostgreSQL's own text of a value, made from its binary form: what its bounds and items are in a
range or an array of several dimensions, which the bridge keeps as text.

As with `datestyle = ISO`, `intervalstyle = iso_8601`, `timezone = UTC`, `lc_monetary = C` and
`bytea_output = hex`. Source: the `*_out` functions of PostgreSQL 15, src/backend/utils/adt/.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

from bridge.model.conversion_error import ConversionError
from bridge.plan.coerce_number import shortest_double, shortest_single
from bridge.plan.text_forms import interval_text, offset_text

Write = Callable[[bytes], str]

_INT2, _INT4, _INT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_UINT4 = struct.Struct(">I")
_FLOAT4, _FLOAT8 = struct.Struct(">f"), struct.Struct(">d")
_TIMETZ, _INTERVAL = struct.Struct(">qi"), struct.Struct(">qii")

_DAY_2000 = date(2000, 1, 1).toordinal()
_DAYS_PER_400_YEARS = 146_097
_DAY_MICROS = 86_400_000_000
_INFINITE_DAY, _INFINITE_MICROS = 2**31 - 1, 2**63 - 1
#: Decimal exponents from which on a float is written with one.
_DOUBLE_EXPONENT, _SINGLE_EXPONENT, _LEAST_EXPONENT = 15, 6, -4


def writer(wire: str, decode: Callable[[bytes], object]) -> Write:
    """The function for one wire code, whose decoder is `decode`: what that makes a text of is it."""
    return _WRITERS.get(wire) or (lambda data: str(decode(data)))


def numeric_text(data: bytes) -> str:
    """A numeric's exact text."""
    count, weight, sign, scale = struct.unpack_from(">HhHH", data)
    if sign == 0xC000:
        return "NaN"
    if sign in {0xD000, 0xF000}:
        return "Infinity" if sign == 0xD000 else "-Infinity"
    if len(data) != 8 + 2 * count:
        raise ConversionError(f"{len(data)} bytes that are no numeric")
    digits = struct.unpack_from(f">{count}H", data, 8)
    text = "".join(f"{digit:04d}" for digit in digits)
    point = 4 * (weight + 1)
    if point > len(text):
        text += "0" * (point - len(text))
    elif point < 0:
        text, point = "0" * -point + text, 0
    whole = text[:point].lstrip("0") or "0"
    fraction = text[point:].ljust(scale, "0")[:scale]
    minus = "-" if sign == 0x4000 else ""
    return f"{minus}{whole}.{fraction}" if scale else minus + whole


def double_text(value: float) -> str:
    """A double: the shortest digits that give it back, with an exponent from 1e+15 on."""
    return _float_text(value, shortest_double, _DOUBLE_EXPONENT)


def single_text(value: float) -> str:
    """The same of a 32-bit float, with an exponent from 1e+06 on."""
    return _float_text(shortest_single(value), repr, _SINGLE_EXPONENT)


def _float_text(value: float, digits_of: Callable[[float], str], from_exponent: int) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    exact = Decimal(digits_of(value))
    sign, digits, _ = exact.as_tuple()
    minus = "-" if sign else ""
    if not exact:
        return minus + "0"
    leading = exact.adjusted()
    if _LEAST_EXPONENT <= leading < from_exponent:
        text = format(exact, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    significant = "".join(map(str, digits)).rstrip("0")
    mantissa = significant[0] + ("." + significant[1:] if len(significant) > 1 else "")
    return f"{minus}{mantissa}e{'-' if leading < 0 else '+'}{abs(leading):02d}"


def _date(data: bytes) -> str:
    (days,) = _INT4.unpack(data)
    if days == _INFINITE_DAY:
        return "infinity"
    if days == -_INFINITE_DAY - 1:
        return "-infinity"
    text, era = _day(days)
    return text + era


def _day(days: int) -> tuple[str, str]:
    """Days since 2000 as a date, and behind which a time stands: ` BC` or nothing."""
    periods, rest = divmod(days + _DAY_2000 - 1, _DAYS_PER_400_YEARS)
    day = date.fromordinal(rest + 1)
    year = day.year + 400 * periods
    era, year = (" BC", 1 - year) if year <= 0 else ("", year)
    return f"{year:04d}-{day.month:02d}-{day.day:02d}", era


def clock_text(micros: int) -> str:
    """Microseconds since midnight; 24:00:00 is one."""
    seconds, fraction = divmod(micros, 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def _moment(zone: str) -> Write:
    def write(data: bytes) -> str:
        (micros,) = _INT8.unpack(data)
        if micros == _INFINITE_MICROS:
            return "infinity"
        if micros == -_INFINITE_MICROS - 1:
            return "-infinity"
        days, rest = divmod(micros, _DAY_MICROS)
        day, era = _day(days)
        return f"{day} {clock_text(rest)}{zone}{era}"

    return write


def timetz_text(data: bytes) -> str:
    """A time of day with its offset."""
    micros, west = _TIMETZ.unpack(data)
    return clock_text(micros) + offset_text(-west)


def _interval(data: bytes) -> str:
    micros, days, months = _INTERVAL.unpack(data)
    return interval_text(months, days, micros)


def _money(data: bytes) -> str:
    (cents,) = _INT8.unpack(data)
    minus, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{minus}${cents // 100:,}.{cents % 100:02d}"


_WRITERS: dict[str, Write] = {
    "bool": lambda data: "f" if data == b"\0" else "t",
    "int2": lambda data: str(_INT2.unpack(data)[0]),
    "int4": lambda data: str(_INT4.unpack(data)[0]),
    "int8": lambda data: str(_INT8.unpack(data)[0]),
    "oid": lambda data: str(_UINT4.unpack(data)[0]),
    "float4": lambda data: single_text(_FLOAT4.unpack(data)[0]),
    "float8": lambda data: double_text(_FLOAT8.unpack(data)[0]),
    "numeric": numeric_text,
    "money": _money,
    "bytea": lambda data: "\\x" + data.hex(),
    "date": _date,
    "time": lambda data: clock_text(_INT8.unpack(data)[0]),
    "timetz": timetz_text,
    "timestamp": _moment(""),
    "timestamptz": _moment("+00"),
    "interval": _interval,
    "uuid": lambda data: str(UUID(bytes=data)),
}
