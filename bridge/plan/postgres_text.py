"""PostgreSQL's text values to the same Python values as its binary ones.

Texts as with `datestyle = ISO`, `lc_monetary = C`, any `intervalstyle` of `iso_8601` or `postgres`,
`bytea_output` `hex` or `escape`; instants with any offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from bridge.model.conversion_error import ConversionError
from bridge.plan.postgres_containers import Nested, delimiter_of, nested
from bridge.plan.postgres_times import FIRST_LOCAL, LAST_LOCAL
from bridge.plan.text_forms import interval_text

FromText = Callable[[str], Any]

_ISO_PART = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)([YMWDHS])")
_CLOCK = re.compile(r"([+-]?)([0-9]+):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?")
_MONEY = re.compile(r"-?\$[0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{2}")
_WORDS = {"year": 12, "years": 12, "mon": 1, "mons": 1}


def parser(wire: str) -> FromText:
    """The function for one wire code; codes without a rule of their own keep their text."""
    parse = _PARSERS.get(wire)
    if parse is not None:
        return _whole(wire, parse)
    kind, item = nested(wire)
    if kind.startswith("array"):
        return _whole(wire, _array(parser(item), delimiter_of(kind)))
    return lambda text: text


def _whole(wire: str, parse: FromText) -> FromText:
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ConversionError:
            raise
        except (ValueError, InvalidOperation, IndexError, KeyError):
            raise ConversionError(f"text that is no {wire}", text) from None

    return checked


def _bool(text: str) -> bool:
    return {"t": True, "f": False, "true": True, "false": False}[text]


def _money(text: str) -> Decimal:
    if not _MONEY.fullmatch(text):
        raise ConversionError(
            "money in the form of a country, which lc_monetary = C doesn't write", text
        )
    return Decimal(text.replace("$", "").replace(",", ""))


def _bytea(text: str) -> bytes:
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:])
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] != "\\":
            out.append(ord(text[at]))
            at += 1
        elif text[at + 1] == "\\":
            out.append(0x5C)
            at += 2
        else:
            out.append(int(text[at + 1 : at + 4], 8))
            at += 4
    return bytes(out)


def _date(text: str) -> date:
    if text in {"infinity", "-infinity"}:
        return date.max if text == "infinity" else date.min
    _years(text)
    return date.fromisoformat(text)


def _years(text: str) -> None:
    if text.endswith("BC") or text.find("-") > 4:
        raise ConversionError("a date outside of the years 1 to 9999", text)


def _timestamp(text: str) -> datetime:
    if text in {"infinity", "-infinity"}:
        return LAST_LOCAL if text == "infinity" else FIRST_LOCAL
    _years(text)
    return datetime.fromisoformat(text)


def _timestamptz(text: str) -> datetime:
    local = _timestamp(text)
    if local.tzinfo is None and local in {FIRST_LOCAL, LAST_LOCAL}:
        return local.replace(tzinfo=UTC)
    if local.tzinfo is None:
        raise ConversionError("an instant without an offset", text)
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ConversionError("a timestamp outside of the years 1 to 9999", text) from None


def _time(text: str) -> time:
    if text.startswith("24:"):
        raise ConversionError("the time 24:00:00, which has no place in a day")
    return time.fromisoformat(text)


def _interval(text: str) -> str:
    months, days, micros = _iso(text) if text.startswith("P") else _words(text)
    return interval_text(months, days, micros)


def _micros(number: str, seconds: int) -> int:
    return int(Decimal(number) * seconds * 1_000_000)


def _iso(text: str) -> tuple[int, int, int]:
    day, _, clock = text[1:].partition("T")
    months = days = micros = 0
    for number, unit in _ISO_PART.findall(day):
        if unit in "YM":
            months += int(number) * (12 if unit == "Y" else 1)
        else:
            days += int(number) * (7 if unit == "W" else 1)
    for number, unit in _ISO_PART.findall(clock):
        micros += _micros(number, {"H": 3600, "M": 60, "S": 1}[unit])
    return months, days, micros


def _words(text: str) -> tuple[int, int, int]:
    months = days = micros = 0
    parts = text.split()
    if parts and (clock := _CLOCK.fullmatch(parts[-1])):
        parts.pop()
        sign, hours, minutes, seconds, fraction = clock.groups()
        whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
        micros = whole * 1_000_000 + int((fraction or "").ljust(6, "0"))
        micros = -micros if sign == "-" else micros
    for number, word in zip(parts[::2], parts[1::2], strict=True):
        if word in {"day", "days"}:
            days += int(number)
        else:
            months += int(number) * _WORDS[word]
    return months, days, micros


def _array(item: FromText, delimiter: str) -> FromText:
    def parse(text: str) -> Any:
        # Bounds that don't start at 1 are a prefix: [0:1]={a,b}
        body = text.partition("=")[2] if text.startswith("[") else text
        if body.startswith("{{"):
            return Nested(body)
        if not (body.startswith("{") and body.endswith("}")):
            raise ConversionError("text that is no array", text)
        return [None if part is None else item(part) for part in _items(body[1:-1], delimiter)]

    return parse


def _items(body: str, delimiter: str) -> list[str | None]:
    items: list[str | None] = []
    at, size = 0, len(body)
    while at < size:
        if body[at] == '"':
            at += 1
            signs = []
            while body[at] != '"':
                if body[at] == "\\":
                    at += 1
                signs.append(body[at])
                at += 1
            items.append("".join(signs))
            at += 1
        else:
            end = body.find(delimiter, at)
            end = size if end < 0 else end
            part = body[at:end]
            items.append(None if part == "NULL" else part)
            at = end
        if at < size and body[at] != delimiter:
            raise ConversionError("text that is no array")
        at += 1
    return items


_PARSERS: dict[str, FromText] = {
    "bool": _bool,
    **dict.fromkeys(("int2", "int4", "int8", "oid"), int),
    **dict.fromkeys(("float4", "float8"), float),
    "numeric": Decimal,
    "money": _money,
    "bytea": _bytea,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "interval": _interval,
    "uuid": UUID,
}
