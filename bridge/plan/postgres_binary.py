"""PostgreSQL's binary values to Python values, for every wire code; the mapping is docs/types.md.

Source: the `*_send` functions of PostgreSQL 15, src/backend/utils/adt/.
"""

from __future__ import annotations

import struct
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.conversion_error import ConversionError
from bridge.model.errors import ConfigurationError
from bridge.plan.coerce_number import shortest_single
from bridge.plan.postgres_containers import (
    FromBinary,
    array_decoder,
    delimiter_of,
    multirange_decoder,
    nested,
    range_decoder,
)
from bridge.plan.postgres_geometry import (
    circle_text,
    line_text,
    lseg_text,
    path_text,
    point_text,
    polygon_text,
)
from bridge.plan.postgres_network import cidr_text, inet_text, mac_text
from bridge.plan.postgres_output import numeric_text, timetz_text, writer
from bridge.plan.postgres_times import clock, day, local_time
from bridge.plan.text_forms import interval_text

_INT2, _INT4, _INT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_UINT4 = struct.Struct(">I")
_FLOAT4, _FLOAT8 = struct.Struct(">f"), struct.Struct(">d")

NOT_UTF8 = "text that isn't valid UTF-8; say the `code_page` of the column"


def decoder(wire: str) -> FromBinary:
    """The function for one wire code. Raises ConfigurationError if there is none."""
    scalar_decoder = _DECODERS.get(wire)
    if scalar_decoder is not None:
        return _whole(wire, scalar_decoder)
    kind, item = nested(wire)
    if kind.startswith("array"):
        decode = decoder(item)
        return _whole(wire, array_decoder(decode, writer(item, decode), delimiter_of(kind)))
    if kind in {"range", "multirange"}:
        write = range_decoder(writer(item, decoder(item)))
        return _whole(wire, write if kind == "range" else multirange_decoder(write))
    raise ConfigurationError(f"wire code {wire!r} is not known to the plan")


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


def _interval(data: bytes) -> str:
    micros, days, months = struct.unpack(">qii", data)
    return interval_text(months, days, micros)


def _bits(data: bytes) -> str:
    (count,) = _INT4.unpack_from(data)
    text = "".join(f"{byte:08b}" for byte in data[4:])
    if count > len(text):
        raise ConversionError(f"{len(data)} bytes that are no bit string")
    return text[:count]


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
    "inet": inet_text,
    "cidr": cidr_text,
    "macaddr": mac_text,
    "macaddr8": mac_text,
    "bit": _bits,
    "varbit": _bits,
    "point": point_text,
    "lseg": lseg_text,
    "box": point_text,
    "path": path_text,
    "polygon": polygon_text,
    "line": line_text,
    "circle": circle_text,
    "tsvector": _tsvector,
    "pg_lsn": _lsn,
    "tid": _tid,
    "unknown": _hex,
}
