"""Values of a source as bytes, each with its exact type. Pure.

One byte says the type, then the value follows: numbers in little-endian order, texts and bytes after
their length. Only exact types are encoded: a subclass may hold more than would come out again. Nothing
of the bytes is trusted: whatever they are, decoding ends in a value or in BadFrame, and takes no more
memory than a small multiple of their number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from bridge.model.errors import Rejected
from bridge.plan.steps import MISSING

MAX_DEPTH: Final = 100
"""Lists and objects within each other."""
_COUNT: Final = struct.Struct("<I")
_INT64: Final = struct.Struct("<q")
_DOUBLE: Final = struct.Struct("<d")
_DELTA: Final = struct.Struct("<qqq")
_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1
_TEXT_ERRORS: Final = "surrogatepass"
"""Some drivers keep bytes that are no text as lone surrogates."""


class BadFrame(ValueError):
    """Bytes that no peer of this version sends."""


class Unsendable(Rejected):
    """A value that can't be sent to another process (code `bad_value`)."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_value", message)


class FrameTooLarge(Unsendable):
    """More than one frame may hold: it has to be sent in parts."""


class ByteCursor:
    """Takes one piece after the other out of bytes. Raises BadFrame at their end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        begin = self.at
        self.at = end = begin + size
        if end > len(self.data):
            raise BadFrame(f"it ends {end - len(self.data)} bytes early")
        return self.data[begin:end]

    def byte(self) -> int:
        """The next byte."""
        at = self.at
        self.at = at + 1
        try:
            return self.data[at]
        except IndexError:
            raise BadFrame("it ends 1 byte early") from None

    def count(self) -> int:
        """A length or a number of items."""
        at = self.at
        self.at = at + _COUNT.size
        try:
            return int(_COUNT.unpack_from(self.data, at)[0])
        except struct.error:
            raise BadFrame("it ends within a length") from None

    def sized(self) -> bytes:
        """Bytes after their length."""
        return self.take(self.count())

    def text(self) -> str:
        """A text after its length in bytes."""
        return decode_text(self.take(self.count()))

    def value(self, depth: int = 0) -> Any:
        """Any value."""
        tag = self.byte()
        decode = _DECODERS.get(tag)
        if decode is None or depth > MAX_DEPTH:
            raise BadFrame(f"no value begins with {tag}, or it is nested too deeply")
        return decode(self, depth)

    def end(self) -> None:
        """Nothing may be left."""
        if self.at != len(self.data):
            raise BadFrame(f"{len(self.data) - self.at} bytes are left over")


def encode_text(text: str) -> bytes:
    """UTF-8, in which lone surrogates are allowed."""
    return text.encode("utf-8", _TEXT_ERRORS)


def decode_text(data: bytes) -> str:
    """The text of `encode_text`."""
    try:
        return str(data, "utf-8", _TEXT_ERRORS)
    except UnicodeDecodeError as error:
        raise BadFrame(f"a text that isn't UTF-8: {error.reason}") from None


def append_count(out: bytearray, count: int) -> None:
    """A length or a number of items. Raises Unsendable beyond 32 bits."""
    try:
        out += _COUNT.pack(count)
    except struct.error:
        raise Unsendable(f"{count:,} bytes or items are more than one frame may hold") from None


def append_sized(out: bytearray, data: bytes) -> None:
    """Bytes after their length."""
    append_count(out, len(data))
    out += data


def append_value(out: bytearray, value: Any, depth: int = 0) -> None:
    """Append a value of any supported type. Raises Unsendable for others."""
    encode = _ENCODERS.get(type(value))
    if encode is None:
        raise Unsendable(
            f"a value of type {type(value).__name__} can't be sent between the processes of a "
            "gateway: read this system without `gateway:`, or report it"
        )
    if depth > MAX_DEPTH:
        raise Unsendable(f"a value is nested deeper than {MAX_DEPTH} levels")
    encode(out, value, depth)


def _append_int(out: bytearray, value: int, _depth: int) -> None:
    if _MIN_INT64 <= value <= _MAX_INT64:
        out += b"i"
        out += _INT64.pack(value)
        return
    out += b"I"
    append_sized(out, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def append_zone(out: bytearray, zone: tzinfo | None) -> None:
    """A zone by its key, or by its offset from UTC; an object that knows neither has no other name."""
    if zone is None:
        out += b"N"
    elif type(zone) is ZoneInfo and zone.key:
        out += b"z"
        append_sized(out, encode_text(zone.key))
    elif type(zone) is timezone:
        out += b"o"
        _append_delta_fields(out, zone.utcoffset(None))
    else:
        raise Unsendable(f"a time in a zone of type {type(zone).__name__} can't be sent")


def _append_delta_fields(out: bytearray, value: timedelta) -> None:
    out += _DELTA.pack(value.days, value.seconds, value.microseconds)


def _tagged_text(
    tag: bytes, text_of: Callable[[Any], str]
) -> Callable[[bytearray, Any, int], None]:
    def append(out: bytearray, value: Any, _depth: int) -> None:
        out += tag
        append_sized(out, encode_text(text_of(value)))

    return append


def _append_clock(tag: bytes) -> Callable[[bytearray, Any, int], None]:
    """A datetime or time: its own text without the zone, which of two equal ones it is, its zone."""

    def append(out: bytearray, value: datetime | time, _depth: int) -> None:
        out += tag
        append_sized(out, value.replace(tzinfo=None).isoformat().encode())
        out += bytes((value.fold,))
        append_zone(out, value.tzinfo)

    return append


def _append_items(tag: bytes) -> Callable[[bytearray, Any, int], None]:
    def append(out: bytearray, value: list[Any] | tuple[Any, ...], depth: int) -> None:
        out += tag
        append_count(out, len(value))
        for item in value:
            append_value(out, item, depth + 1)

    return append


def _append_mapping(out: bytearray, value: dict[Any, Any], depth: int) -> None:
    out += b"m"
    append_count(out, len(value))
    for key, item in value.items():
        append_value(out, key, depth + 1)
        append_value(out, item, depth + 1)


def _append_bytes(out: bytearray, value: bytes, _depth: int) -> None:
    out += b"b"
    append_sized(out, value)


def _append_double(out: bytearray, value: float, _depth: int) -> None:
    out += b"f"
    out += _DOUBLE.pack(value)


def _append_uuid(out: bytearray, value: UUID, _depth: int) -> None:
    out += b"u"
    out += value.bytes


def _append_delta(out: bytearray, value: timedelta, _depth: int) -> None:
    out += b"e"
    _append_delta_fields(out, value)


def _append_bool(out: bytearray, value: bool, _depth: int) -> None:
    out += b"T" if value else b"F"


def _append_none(out: bytearray, _value: None, _depth: int) -> None:
    out += b"N"


def _append_missing(out: bytearray, _value: Any, _depth: int) -> None:
    out += b"X"


_ENCODERS: Final[dict[type, Callable[[bytearray, Any, int], None]]] = {
    type(None): _append_none,
    type(MISSING): _append_missing,
    bool: _append_bool,
    int: _append_int,
    float: _append_double,
    str: _tagged_text(b"s", str),
    bytes: _append_bytes,
    Decimal: _tagged_text(b"d", str),
    date: _tagged_text(b"D", date.isoformat),
    time: _append_clock(b"t"),
    datetime: _append_clock(b"p"),
    timedelta: _append_delta,
    UUID: _append_uuid,
    list: _append_items(b"l"),
    tuple: _append_items(b"r"),
    dict: _append_mapping,
}


def decode_zone(cursor: ByteCursor) -> tzinfo | None:
    """The zone of `append_zone`. Raises BadFrame."""
    tag = cursor.take(1)
    if tag == b"N":
        return None
    try:
        if tag == b"z":
            return ZoneInfo(cursor.text())
        if tag == b"o":
            return timezone(_delta(cursor))
    except (ValueError, KeyError, OSError, OverflowError) as error:
        raise BadFrame(f"an unknown zone: {error}") from None
    raise BadFrame(f"no zone begins with {tag!r}")


def _delta(cursor: ByteCursor) -> timedelta:
    try:
        return timedelta(*_DELTA.unpack(cursor.take(_DELTA.size)))
    except OverflowError as error:
        raise BadFrame(f"a span of time: {error}") from None


def _decimal(text: str) -> Decimal:
    """The decimal with exactly these digits. Raises BadFrame."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise BadFrame(f"no decimal: {text[:40]!r}") from None


def _date(text: str) -> date:
    """The date of an ISO text. Raises BadFrame."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadFrame(f"no date: {text[:40]!r}") from None


def _clock(kind: type[datetime | time]) -> Callable[[ByteCursor, int], Any]:
    def decode(cursor: ByteCursor, _depth: int) -> Any:
        text, fold = cursor.text(), cursor.byte()
        zone = decode_zone(cursor)
        try:
            return kind.fromisoformat(text).replace(tzinfo=zone, fold=fold)
        except ValueError:
            raise BadFrame(f"no time: {text[:40]!r}") from None

    return decode


def _items(cursor: ByteCursor, depth: int) -> list[Any]:
    return [cursor.value(depth + 1) for _ in range(cursor.count())]


def _mapping(cursor: ByteCursor, depth: int) -> dict[Any, Any]:
    mapping = {}
    for _ in range(cursor.count()):
        key = cursor.value(depth + 1)
        try:
            mapping[key] = cursor.value(depth + 1)
        except TypeError:
            raise BadFrame(f"a {type(key).__name__} can't be a key") from None
    return mapping


_DECODERS: Final[dict[int, Callable[[ByteCursor, int], Any]]] = {
    ord("N"): lambda _cursor, _depth: None,
    ord("X"): lambda _cursor, _depth: MISSING,
    ord("T"): lambda _cursor, _depth: True,
    ord("F"): lambda _cursor, _depth: False,
    ord("i"): lambda cursor, _depth: _INT64.unpack(cursor.take(8))[0],
    ord("I"): lambda cursor, _depth: int.from_bytes(cursor.sized(), "little", signed=True),
    ord("f"): lambda cursor, _depth: _DOUBLE.unpack(cursor.take(8))[0],
    ord("s"): lambda cursor, _depth: cursor.text(),
    ord("b"): lambda cursor, _depth: cursor.sized(),
    ord("d"): lambda cursor, _depth: _decimal(cursor.text()),
    ord("D"): lambda cursor, _depth: _date(cursor.text()),
    ord("t"): _clock(time),
    ord("p"): _clock(datetime),
    ord("e"): lambda cursor, _depth: _delta(cursor),
    ord("u"): lambda cursor, _depth: UUID(bytes=cursor.take(16)),
    ord("l"): _items,
    ord("r"): lambda cursor, depth: tuple(_items(cursor, depth)),
    ord("m"): _mapping,
}
