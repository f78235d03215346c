"""The bytes of a batch: neighbouring records of one partition, column by column.

Layout, little-endian: version (u8), flags (u8), records (u32); timestamps (i64 each, or one when
all are equal); offsets relative to the base (u32 each, only where there are gaps); the header
shapes (JSON list of lists of names) and, when there is more than one, each record's shape (u16);
then the columns: keys, values, and for each shape one per header name. A column is a flag, its
lengths (i32 each, -1: null) and its bytes; a column whose items are all equal is stored once.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise, repeat

from bridge.log.port import Headers, Record

_VERSION = 1
_GAPS, _ONE_TIME = 1, 2
_HEAD = struct.Struct("<BBI")
_SIZE = struct.Struct("<I")
_SWAP = sys.byteorder != "little"

Item = bytes | None


def encode(
    keys: Sequence[Item],
    values: Sequence[Item],
    headers: Sequence[Headers],
    times: Sequence[int],
    offsets: Sequence[int] | None = None,
) -> bytes:
    """The batch of these columns; `offsets` relative to its base where they have gaps."""
    flags = (_GAPS if offsets is not None else 0) | (
        _ONE_TIME if times.count(times[0]) == len(times) else 0
    )
    parts = [
        _HEAD.pack(_VERSION, flags, len(keys)),
        _numbers("q", times[:1] if flags & _ONE_TIME else times),
    ]
    if offsets is not None:
        parts.append(_numbers("I", offsets))
    shapes, chosen, contents = _by_shape(headers)
    names = json.dumps(shapes, separators=(",", ":")).encode()
    parts += [_SIZE.pack(len(names)), names]
    if len(shapes) > 1:
        parts.append(_numbers("I", chosen))
    _column(keys, parts)
    _column(values, parts)
    for columns in contents:
        for column in columns:
            _column(column, parts)
    return b"".join(parts)


_Shapes = tuple[list[tuple[str, ...]], list[int], list[list[Sequence[bytes]]]]


def _by_shape(headers: Sequence[Headers]) -> _Shapes:
    """The distinct tuples of header names, each record's number of one, their columns."""
    count, width = len(headers), len(headers[0])
    if set(map(len, headers)) == {width}:
        if width == 0:
            return [()], [], [[]]
        # Usually all records have the same names, which is found without a step per record.
        pairs = [*chain.from_iterable(headers)]
        names = [name for name, _ in pairs]
        if names == names[:width] * count:
            contents = [content for _, content in pairs]
            return [tuple(names[:width])], [], [[contents[at::width] for at in range(width)]]
    shapes: dict[tuple[str, ...], int] = {}
    chosen: list[int] = []
    rows: list[list[tuple[bytes, ...]]] = []
    for each in headers:
        shape = tuple(name for name, _ in each)
        number = shapes.setdefault(shape, len(shapes))
        if number == len(rows):
            rows.append([])
        chosen.append(number)
        rows[number].append(tuple(content for _, content in each))
    return [*shapes], chosen, [[*zip(*each, strict=True)] for each in rows]


def decode(data: bytes, topic: str, partition: int, base: int) -> list[Record]:
    """The records of a batch, in the order of their offsets."""
    version, flags, count = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise ValueError(
            f"a batch of {topic} has version {version}: written by a newer bridge, use that one"
        )
    at = _HEAD.size
    times: Iterable[int]
    if flags & _ONE_TIME:
        times = repeat(_read("q", data, at, 1)[0], count)
        at += 8
    else:
        times = _read("q", data, at, count)
        at += 8 * count
    offsets: Iterable[int] = range(base, base + count)
    if flags & _GAPS:
        offsets = [base + each for each in _read("I", data, at, count)]
        at += 4 * count
    (size,) = _SIZE.unpack_from(data, at)
    at += _SIZE.size
    shapes: list[list[str]] = json.loads(data[at : at + size])
    at += size
    if len(shapes) > 1:
        chosen = _read("I", data, at, count)
        at += 4 * count
        counts = [chosen.count(number) for number in range(len(shapes))]
    else:
        chosen, counts = array("I"), [count]
    keys, at = _items(data, at, count)
    values, at = _items(data, at, count)
    shaped: list[Iterator[Headers]] = []
    for names, many in zip(shapes, counts, strict=True):
        columns: list[Iterable[tuple[str, Item]]] = []
        for name in names:
            column, at = _items(data, at, many)
            if isinstance(column, repeat):
                columns.append(repeat((name, next(column)), many))
            else:
                columns.append(zip(repeat(name, many), column, strict=True))
        shaped.append(zip(*columns, strict=True) if columns else repeat((), many))
    headers = shaped[0] if len(shaped) == 1 else (next(shaped[number]) for number in chosen)
    return [
        *map(
            Record._make,
            zip(
                repeat(topic, count),
                repeat(partition, count),
                offsets,
                times,
                keys,
                values,
                headers,
                strict=True,
            ),
        )
    ]


def _numbers(kind: str, numbers: Iterable[int]) -> bytes:
    packed = array(kind, numbers)
    if _SWAP:
        packed.byteswap()
    return packed.tobytes()


def _read(kind: str, data: bytes, at: int, count: int) -> array[int]:
    numbers = array(kind)
    numbers.frombytes(data[at : at + count * numbers.itemsize])
    if _SWAP:
        numbers.byteswap()
    return numbers


def _column(items: Sequence[Item], parts: list[bytes]) -> None:
    same = items[0] == items[-1] and items.count(items[0]) == len(items)
    if same:
        items = items[:1]
    if None in items:
        lengths = [-1 if item is None else len(item) for item in items]
        parts += (b"\x01" if same else b"\x00", _numbers("i", lengths))
        parts.extend(item for item in items if item)
    else:
        parts += (b"\x01" if same else b"\x00", _numbers("i", map(len, items)))  # type: ignore[arg-type]
        parts.extend(items)  # type: ignore[arg-type]


def _items(data: bytes, at: int, count: int) -> tuple[Iterable[Item], int]:
    same, at = data[at], at + 1
    lengths = _read("i", data, at, 1 if same else count)
    at += 4 * len(lengths)
    if same:
        length = lengths[0]
        item = None if length < 0 else data[at : at + length]
        return repeat(item, count), at + max(length, 0)
    if min(lengths) >= 0:
        ends = [*accumulate(lengths, initial=at)]
        return [data[start:end] for start, end in pairwise(ends)], ends[-1]
    items: list[Item] = []
    for length in lengths:
        if length < 0:
            items.append(None)
        else:
            items.append(data[at : at + length])
            at += length
    return items, at
