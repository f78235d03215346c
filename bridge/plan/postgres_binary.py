# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""PostgreSQL's binary values to Python values, for every wire code; the mapping is docs/types.md.

Source: the `*_send` functions of PostgreSQL 15, src/backend/utils/adt/.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.conversion_error import ConversionError
from bridge.model.errors import ConfigurationError
from bridge.plan.coerce_number import shortest_single
from bridge.plan.postgres_output import Write, double_text, numeric_text, timetz_text, writer
from bridge.plan.text_forms import array_text, bound_text, interval_text

FromBinary = Callable[[bytes], Any]

_INT2, _INT4, _INT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_UINT4 = struct.Struct(">I")
_FLOAT4, _FLOAT8 = struct.Struct(">f"), struct.Struct(">d")

DAY_2000 = date(2000, 1, 1).toordinal()
LOCAL_2000 = datetime(2000, 1, 1)
INFINITE_DAY, INFINITE_MICROS = 2**31 - 1, 2**63 - 1
#: What PostgreSQL's infinities become.
FIRST_LOCAL, LAST_LOCAL = datetime.min, datetime.max

NOT_UTF8 = "text that isn't valid UTF-8; say the `code_page` of the column"

_DAY_MICROS = 86_400_000_000


def decoder(wire: str) -> FromBinary:
    """The function for one wire code. Raises ConfigurationError when there is none."""
    scalar_decoder = _DECODERS.get(wire)
    if scalar_decoder is not None:
        return _whole(wire, scalar_decoder)
    kind, item = nested(wire)
    if kind.startswith("array"):
        decode = decoder(item)
        return _whole(wire, _array(decode, writer(item, decode), delimiter_of(kind)))
    if kind in {"range", "multirange"}:
        write = _range(writer(item, decoder(item)))
        return _whole(wire, write if kind == "range" else _multirange(write))
    raise ConfigurationError(f"wire code {wire!r} is not known to the plan")


def nested(wire: str) -> tuple[str, str]:
    """`array(int4)` as (`array`, `int4`); a wire that isn't nested as ("", wire)."""
    kind, bracket, item = wire.partition("(")
    return (kind, item[:-1]) if bracket and item.endswith(")") else ("", wire)


def delimiter_of(kind: str) -> str:
    """What stands between the items of an array's text: a comma, unless its wire code says another
    sign (`array;(box)`).
    """
    return kind.removeprefix("array") or ","


def _whole(wire: str, decode: FromBinary) -> FromBinary:
    def checked(data: bytes) -> Any:
        try:
            return decode(data)
        except ConversionError:
            raise
        except UnicodeDecodeError:
            raise ConversionError(NOT_UTF8) from None
        except (struct.error, IndexError, ValueError):
            raise ConversionError(f"{len(data)} bytes that are no {wire}") from None

    return checked


def _bool(data: bytes) -> bool:
    if len(data) != 1:
        raise ConversionError(f"{len(data)} bytes that are no bool")
    return data != b"\0"


def _number(form: struct.Struct) -> FromBinary:
    def decode(data: bytes) -> Any:
        return form.unpack(data)[0]

    return decode


def _text(data: bytes) -> str:
    return data.decode()


def one_byte(data: bytes) -> str:
    """The type "char": a byte beyond ASCII in octal, as PostgreSQL 16 and later write it; zero is
    the empty text.
    """
    if len(data) > 1:
        return data.decode()
    return "" if data in {b"", b"\0"} else (chr(data[0]) if data[0] < 0x80 else f"\\{data[0]:o}")


def _jsonb(data: bytes) -> str:
    if data[0] != 1:
        raise ConversionError(f"jsonb of version {data[0]}, where 1 is known")
    return data[1:].decode()


def day(days: int) -> date:
    """Days since 2000 as a date; infinities become the first and last day there is."""
    if days >= INFINITE_DAY:
        return date.max
    if days <= -INFINITE_DAY - 1:
        return date.min
    ordinal = days + DAY_2000
    if not 1 <= ordinal <= date.max.toordinal():
        raise ConversionError("a date outside of the years 1 to 9999")
    return date.fromordinal(ordinal)


def local_time(micros: int) -> datetime:
    """Microseconds since 2000 as a local time; infinities become the first and last one."""
    if micros >= INFINITE_MICROS:
        return LAST_LOCAL
    if micros <= -INFINITE_MICROS - 1:
        return FIRST_LOCAL
    try:
        return LOCAL_2000 + timedelta(microseconds=micros)
    except OverflowError:
        raise ConversionError("a timestamp outside of the years 1 to 9999") from None


def clock(micros: int) -> time:
    """Microseconds since midnight."""
    if not 0 <= micros < _DAY_MICROS:
        raise ConversionError("the time 24:00:00, which has no place in a day")
    return (datetime.min + timedelta(microseconds=micros)).time()


def _interval(data: bytes) -> str:
    micros, days, months = struct.unpack(">qii", data)
    return interval_text(months, days, micros)


def _inet(data: bytes) -> str:
    return _address(data, always=False)


def _cidr(data: bytes) -> str:
    return _address(data, always=True)


def _address(data: bytes, *, always: bool) -> str:
    bits, size = data[1], data[3]
    if len(data) != 4 + size or size not in {4, 16}:
        raise ConversionError(f"{len(data)} bytes that are no inet")
    address = _ipv4(data[4:]) if size == 4 else _ipv6(data[4:])
    return f"{address}/{bits}" if always or bits != size * 8 else address


def _ipv4(content: bytes) -> str:
    return ".".join(map(str, content))


def _ipv6(content: bytes) -> str:
    """As PostgreSQL's inet_net_ntop: the longest run of zeros is left out, and an address of IPv4
    (`::1.2.3.4`, `::ffff:1.2.3.4`) ends as one.
    """
    words = struct.unpack(">8H", content)
    start = length = 0
    for at in range(8):
        end = at
        while end < 8 and not words[end]:
            end += 1
        if end - at > max(length, 1):
            start, length = at, end - at
    parts = [f"{word:x}" for word in words]
    if length and not start and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        parts[6:] = [_ipv4(content[12:])]
    if not length:
        return ":".join(parts)
    return f"{':'.join(parts[:start])}::{':'.join(parts[start + length :])}"


def _mac(data: bytes) -> str:
    return data.hex(":")


def _bits(data: bytes) -> str:
    (count,) = _INT4.unpack_from(data)
    text = "".join(f"{byte:08b}" for byte in data[4:])
    if count > len(text):
        raise ConversionError(f"{len(data)} bytes that are no bit string")
    return text[:count]


def _floats(data: bytes, at: int = 0) -> list[str]:
    return [double_text(value) for (value,) in _FLOAT8.iter_unpack(data[at:])]


def _points(texts: list[str]) -> str:
    return ",".join(f"({x},{y})" for x, y in zip(texts[::2], texts[1::2], strict=True))


def _path(data: bytes) -> str:
    inner = _points(_floats(data, 5))
    return f"({inner})" if data[0] else f"[{inner}]"


def _circle(data: bytes) -> str:
    x, y, radius = _floats(data)
    return f"<({x},{y}),{radius}>"


def _tsvector(data: bytes) -> str:
    (count,) = _INT4.unpack_from(data)
    at, lexemes = 4, []
    for _ in range(count):
        end = data.index(b"\0", at)
        lexeme = data[at:end].decode().replace("'", "''").replace("\\", "\\\\")
        (places,) = struct.unpack_from(">H", data, end + 1)
        marks = struct.unpack_from(f">{places}H", data, end + 3)
        at = end + 3 + 2 * places
        where = ",".join(f"{mark & 0x3FFF}{'DCBA'[mark >> 14].replace('D', '')}" for mark in marks)
        lexemes.append(f"'{lexeme}'" + (f":{where}" if where else ""))
    return " ".join(lexemes)


def _lsn(data: bytes) -> str:
    high, low = struct.unpack(">II", data)
    return f"{high:X}/{low:X}"


def _tid(data: bytes) -> str:
    block, offset = struct.unpack(">IH", data)
    return f"({block},{offset})"


def _hex(data: bytes) -> str:
    return "\\x" + data.hex()


def _array(item: FromBinary, write: Write, delimiter: str) -> FromBinary:
    def decode(data: bytes) -> Any:
        dimensions, _, _ = struct.unpack_from(">iiI", data)
        if dimensions == 0:
            return []
        sizes = [_INT4.unpack_from(data, 12 + 8 * index)[0] for index in range(dimensions)]
        at = 12 + 8 * dimensions
        total = 1
        for size in sizes:
            total *= size
        read: FromBinary = item if dimensions == 1 else write
        values: list[Any] = []
        for _ in range(total):
            (length,) = _INT4.unpack_from(data, at)
            at += 4
            if length < 0:
                values.append(None)
                continue
            values.append(read(data[at : at + length]))
            at += length
        if dimensions > 1:
            return Nested(array_text(values, sizes, delimiter))
        return values

    return decode


class Nested(str):
    """The text of an array of several dimensions, for which there is no field type but string."""

    __slots__ = ()


def _range(write: Write) -> Write:
    def decode(data: bytes) -> str:
        flags = data[0]
        if flags & 0x01:
            return "empty"
        at, bounds = 1, []
        for infinite in (0x08, 0x10):
            if flags & infinite:
                bounds.append("")
                continue
            (length,) = _INT4.unpack_from(data, at)
            bounds.append(bound_text(write(data[at + 4 : at + 4 + length])))
            at += 4 + length
        left, right = "[" if flags & 0x02 else "(", "]" if flags & 0x04 else ")"
        return f"{left}{bounds[0]},{bounds[1]}{right}"

    return decode


def _multirange(item: Write) -> FromBinary:
    def decode(data: bytes) -> str:
        (count,) = _INT4.unpack_from(data)
        at, ranges = 4, []
        for _ in range(count):
            (length,) = _INT4.unpack_from(data, at)
            ranges.append(item(data[at + 4 : at + 4 + length]))
            at += 4 + length
        return "{" + ",".join(ranges) + "}"

    return decode


_DECODERS: dict[str, FromBinary] = {
    "bool": _bool,
    "int2": _number(_INT2),
    "int4": _number(_INT4),
    "int8": _number(_INT8),
    "oid": _number(_UINT4),
    "float4": lambda data: shortest_single(_FLOAT4.unpack(data)[0]),
    "float8": _number(_FLOAT8),
    "numeric": lambda data: Decimal(numeric_text(data)),
    "money": lambda data: Decimal(_INT8.unpack(data)[0]).scaleb(-2),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "xml", "citext", "enum", "json"), _text),
    "char": one_byte,
    "jsonb": _jsonb,
    "bytea": lambda data: data,
    "date": lambda data: day(_INT4.unpack(data)[0]),
    "time": lambda data: clock(_INT8.unpack(data)[0]),
    "timetz": timetz_text,
    "timestamp": lambda data: local_time(_INT8.unpack(data)[0]),
    "timestamptz": lambda data: local_time(_INT8.unpack(data)[0]).replace(tzinfo=UTC),
    "interval": _interval,
    "uuid": lambda data: UUID(bytes=data),
    "inet": _inet,
    "cidr": _cidr,
    "macaddr": _mac,
    "macaddr8": _mac,
    "bit": _bits,
    "varbit": _bits,
    "point": lambda data: _points(_floats(data)),
    "lseg": lambda data: f"[{_points(_floats(data))}]",
    "box": lambda data: _points(_floats(data)),
    "path": _path,
    "polygon": lambda data: f"({_points(_floats(data, 4))})",
    "line": lambda data: "{" + ",".join(_floats(data)) + "}",
    "circle": _circle,
    "tsvector": _tsvector,
    "pg_lsn": _lsn,
    "tid": _tid,
    "unknown": _hex,
}
