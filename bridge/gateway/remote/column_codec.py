"""Rows and keys as bytes, column by column: values of one type stand together. Pure.

A few rows are written value by value, which is quicker for them.

A column is one byte that says the type of all its values, with `HAS_NULLS` if some are null (then one
byte per value says which), then the values that aren't, packed by one call each way where Python has
one. Columns of mixed or rarer types hold each value as `value_codec` has it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from bridge.gateway.remote.value_codec import (
    BadFrame,
    ByteCursor,
    FrameTooLarge,
    Unsendable,
    append_count,
    append_sized,
    append_value,
    append_zone,
    decode_text,
    decode_zone,
    encode_text,
)

HAS_NULLS: Final = 0x80
FEW_ROWS: Final = 4
"""At most so many rows are written value by value."""
_BETWEEN: Final = "\0"
"""Stands between texts that don't contain it, as hardly any do: no lengths are needed then."""
MAX_CELLS: Final = 4_000_000
"""Values in one frame: columns of nulls take no bytes, so that the frame's size is no bound."""
_NULL: Final = type(None)
_UUID_BYTES: Final = 16


def append_rows(out: bytearray, rows: Sequence[tuple[Any, ...]]) -> None:
    """Tuples of one length. Raises Unsendable for a value of another type, or for other rows."""
    width = len(rows[0]) if rows else 0
    append_count(out, len(rows))
    append_count(out, width)
    if any(type(row) is not tuple or len(row) != width for row in rows):
        raise Unsendable("the rows of one answer aren't tuples of one length")
    if len(rows) * max(width, 1) > MAX_CELLS:
        raise FrameTooLarge(f"{len(rows)} rows of {width} columns are too many for one frame")
    if len(rows) <= FEW_ROWS:
        for row in rows:
            for value in row:
                append_value(out, value)
        return
    for column in zip(*rows, strict=True):
        append_column(out, column)


def decode_rows(cursor: ByteCursor) -> list[tuple[Any, ...]]:
    """The rows of `append_rows`. Raises BadFrame."""
    count, width = cursor.count(), cursor.count()
    if count * max(width, 1) > MAX_CELLS:
        raise BadFrame(f"{count} rows of {width} columns; a frame has {MAX_CELLS} values at most")
    if not width:
        return [()] * count
    if count <= FEW_ROWS:
        value = cursor.value
        return [tuple([value() for _ in range(width)]) for _ in range(count)]
    return list(zip(*[decode_column(cursor, count) for _ in range(width)], strict=True))


def append_column(out: bytearray, values: Sequence[Any]) -> None:
    """Values of any supported types. Raises Unsendable for others."""
    types = set(map(type, values))
    has_nulls = _NULL in types
    types.discard(_NULL)
    packer = _PACKERS.get(next(iter(types))) if len(types) == 1 else None
    present = [value for value in values if value is not None] if has_nulls else values
    packed = packer[1](present) if packer is not None else None
    if packer is None or packed is None:
        if not types:
            out += b"N"
            return
        out += b"*"
        for value in values:
            append_value(out, value)
        return
    out.append(packer[0] | (HAS_NULLS if has_nulls else 0))
    if has_nulls:
        out += bytes([value is None for value in values])
    out += packed


def decode_column(cursor: ByteCursor, count: int) -> Sequence[Any]:
    """The `count` values of a column. Raises BadFrame."""
    tag = cursor.byte()
    if tag == ord("N"):
        return [None] * count
    if tag == ord("*"):
        return [cursor.value() for _ in range(count)]
    unpack = _UNPACKERS.get(tag & ~HAS_NULLS)
    if unpack is None:
        raise BadFrame(f"no column begins with {tag}")
    if not tag & HAS_NULLS:
        return unpack(cursor, count)
    nulls = cursor.take(count)
    if not set(nulls) <= {0, 1}:
        raise BadFrame("whether a value is null is neither 0 nor 1")
    values: Iterator[Any] = iter(unpack(cursor, count - sum(nulls)))
    return [None if is_null else next(values) for is_null in nulls]


def _numbers(typecode: str, values: Sequence[Any]) -> bytes:
    numbers = array(typecode, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _read_numbers(cursor: ByteCursor, typecode: str, count: int) -> array[Any]:
    numbers = array(typecode)
    numbers.frombytes(cursor.take(numbers.itemsize * count))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _pack_ints(values: Sequence[int]) -> bytes | None:
    try:
        return _numbers("q", values)
    except OverflowError:
        return None


def _pack_texts(texts: Sequence[str]) -> bytes:
    """All texts as one, with `_BETWEEN` between them; if some contain that, after their lengths in
    characters.
    """
    joined = _BETWEEN.join(texts)
    is_split = joined.count(_BETWEEN) == len(texts) - 1
    out = bytearray((is_split,))
    if not is_split:
        out += _numbers("I", list(map(len, texts)))
        joined = "".join(texts)
    append_sized(out, encode_text(joined))
    return bytes(out)


def _unpack_texts(cursor: ByteCursor, count: int) -> list[str]:
    if not cursor.byte():
        lengths = _read_numbers(cursor, "I", count)
        return _pieces(decode_text(cursor.sized()), lengths)
    texts = decode_text(cursor.sized()).split(_BETWEEN)
    if len(texts) != count:
        raise BadFrame(f"{len(texts)} texts where {count} belong")
    return texts


def _pieces(whole: Any, lengths: array[int]) -> list[Any]:
    """`whole`, cut into pieces of these lengths. Raises BadFrame unless they are its own."""
    if sum(lengths) != len(whole):
        raise BadFrame(f"lengths of {sum(lengths)} in all, and {len(whole)} are there")
    pieces, begin = [], 0
    for length in lengths:
        end = begin + length
        pieces.append(whole[begin:end])
        begin = end
    return pieces


def _pack_bytes(values: Sequence[bytes]) -> bytes:
    out = bytearray(_numbers("I", list(map(len, values))))
    append_sized(out, b"".join(values))
    return bytes(out)


def _unpack_bytes(cursor: ByteCursor, count: int) -> list[bytes]:
    lengths = _read_numbers(cursor, "I", count)
    return _pieces(cursor.sized(), lengths)


def _pack_datetimes(values: Sequence[datetime]) -> bytes | None:
    """Their zone, if it is the same object for all, then local times. None for others."""
    zone = values[0].tzinfo
    if any(value.tzinfo is not zone or value.fold for value in values):
        return None
    out = bytearray()
    if zone is None or type(zone) is timezone:
        # Their texts say the offset, if they have one.
        append_zone(out, None)
        out += _pack_texts(list(map(datetime.isoformat, values)))
    else:
        append_zone(out, zone)
        out += _pack_texts([value.replace(tzinfo=None).isoformat() for value in values])
    return bytes(out)


def _unpack_datetimes(cursor: ByteCursor, count: int) -> list[datetime]:
    zone = decode_zone(cursor)
    texts = _unpack_texts(cursor, count)
    try:
        values = list(map(datetime.fromisoformat, texts))
    except ValueError as error:
        raise BadFrame(f"no time: {error}") from None
    return values if zone is None else [value.replace(tzinfo=zone) for value in values]


def _unpack_decimals(cursor: ByteCursor, count: int) -> list[Decimal]:
    texts = _unpack_texts(cursor, count)
    try:
        return list(map(Decimal, texts))
    except InvalidOperation:
        raise BadFrame("a text that is no decimal") from None


def _unpack_dates(cursor: ByteCursor, count: int) -> list[date]:
    texts = _unpack_texts(cursor, count)
    try:
        return list(map(date.fromisoformat, texts))
    except ValueError as error:
        raise BadFrame(f"no date: {error}") from None


def _unpack_bools(cursor: ByteCursor, count: int) -> list[bool]:
    return [bool(flag) for flag in cursor.take(count)]


def _unpack_uuids(cursor: ByteCursor, count: int) -> list[UUID]:
    data = cursor.take(_UUID_BYTES * count)
    return [UUID(bytes=data[at : at + _UUID_BYTES]) for at in range(0, len(data), _UUID_BYTES)]


_PACKERS: Final[dict[type, tuple[int, Callable[[Sequence[Any]], bytes | None]]]] = {
    bool: (ord("B"), bytes),
    int: (ord("i"), _pack_ints),
    float: (ord("f"), lambda values: _numbers("d", values)),
    str: (ord("s"), _pack_texts),
    bytes: (ord("b"), _pack_bytes),
    Decimal: (ord("d"), lambda values: _pack_texts(list(map(str, values)))),
    date: (ord("D"), lambda values: _pack_texts([value.isoformat() for value in values])),
    datetime: (ord("p"), _pack_datetimes),
    UUID: (ord("u"), lambda values: b"".join([value.bytes for value in values])),
}
_UNPACKERS: Final[dict[int, Callable[[ByteCursor, int], Sequence[Any]]]] = {
    ord("B"): _unpack_bools,
    ord("i"): lambda cursor, count: _read_numbers(cursor, "q", count).tolist(),
    ord("f"): lambda cursor, count: _read_numbers(cursor, "d", count).tolist(),
    ord("s"): _unpack_texts,
    ord("b"): _unpack_bytes,
    ord("d"): _unpack_decimals,
    ord("D"): _unpack_dates,
    ord("p"): _unpack_datetimes,
    ord("u"): _unpack_uuids,
}
