"""PostgreSQL's binary arrays, ranges and multiranges, whatever their items are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from bridge.plan.postgres_output import Write
from bridge.plan.text_forms import array_text, bound_text

FromBinary = Callable[[bytes], Any]

_INT4 = struct.Struct(">i")


class Nested(str):
    """The text of an array of several dimensions, for which there is no field type but string."""

    __slots__ = ()


def nested(wire: str) -> tuple[str, str]:
    """`array(int4)` as (`array`, `int4`); a wire that isn't nested as ("", wire)."""
    kind, bracket, item = wire.partition("(")
    return (kind, item[:-1]) if bracket and item.endswith(")") else ("", wire)


def delimiter_of(kind: str) -> str:
    """What stands between the items of an array's text: a comma, unless its wire code says another
    sign (`array;(box)`).
    """
    return kind.removeprefix("array") or ","


def array_decoder(item: FromBinary, write: Write, delimiter: str) -> FromBinary:
    """A list of `item`s; of several dimensions, the array's text with what `write` makes of each."""

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


def range_decoder(write: Write) -> Write:
    """A range as text, with what `write` makes of its bounds."""

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


def multirange_decoder(item: Write) -> FromBinary:
    """A multirange as text; `item` writes one of its ranges."""

    def decode(data: bytes) -> str:
        (count,) = _INT4.unpack_from(data)
        at, ranges = 4, []
        for _ in range(count):
            (length,) = _INT4.unpack_from(data, at)
            ranges.append(item(data[at + 4 : at + 4 + length]))
            at += 4 + length
        return "{" + ",".join(ranges) + "}"

    return decode
