"""The functions that compiled modules have in C (`native.pxd`), in Python."""

from __future__ import annotations

import struct
from typing import Any

from bridge.plan import murmur2 as _murmur2


def pointer(data: bytes) -> bytes:
    """What to index to get at the bytes: a pointer in C."""
    return data


def numbers(count: int) -> list[int]:
    """An array of `count` numbers."""
    return [0] * count


def space(size: int) -> bytearray:
    """A buffer to write to."""
    return bytearray(size)


def larger(buffer: bytearray, size: int) -> bytearray:
    """The buffer with its content, now of `size` bytes."""
    buffer.extend(bytes(size - len(buffer)))
    return buffer


def release(_: Any) -> None:
    """Give memory back."""


def taken(buffer: bytearray, start: int, size: int) -> bytes:
    """A part of the buffer as bytes."""
    return bytes(buffer[start : start + size])


def copy(buffer: bytearray, at: int, data: bytes, start: int, size: int) -> None:
    """Copy a part of `data` into the buffer."""
    buffer[at : at + size] = data[start : start + size]


def as_class(kind: type[Any], slots: tuple[Any, ...]) -> Any:
    """The same slots as a tuple of another class."""
    return tuple.__new__(kind, slots)


def bytes_of(content: bytes | memoryview) -> bytes:
    """What supports the buffer protocol as bytes."""
    return bytes(content)


def part(data: bytes, start: int, end: int) -> bytes:
    """A part of bytes."""
    return data[start:end]


def slot(row: tuple[Any, ...], index: int) -> Any:
    """A slot of a tuple."""
    return row[index]


def load_u16(data: bytes, at: int) -> int:
    """Big-endian unsigned 16 bits."""
    return int.from_bytes(data[at : at + 2], "big")


def load_i16(data: bytes, at: int) -> int:
    """Big-endian signed 16 bits."""
    return int.from_bytes(data[at : at + 2], "big", signed=True)


def load_u32(data: bytes, at: int) -> int:
    """Big-endian unsigned 32 bits."""
    return int.from_bytes(data[at : at + 4], "big")


def load_i32(data: bytes, at: int) -> int:
    """Big-endian signed 32 bits."""
    return int.from_bytes(data[at : at + 4], "big", signed=True)


def load_u64(data: bytes, at: int) -> int:
    """Big-endian unsigned 64 bits."""
    return int.from_bytes(data[at : at + 8], "big")


def load_i64(data: bytes, at: int) -> int:
    """Big-endian signed 64 bits."""
    return int.from_bytes(data[at : at + 8], "big", signed=True)


def put_double(buffer: bytearray, at: int, value: float) -> None:
    """A double, little-endian."""
    struct.pack_into("<d", buffer, at, value)


def zigzag(value: int) -> int:
    """A signed number as an unsigned one that is small when it is near zero."""
    return (value << 1) ^ (value >> 63)


def lifted(bits: int, shift: int) -> int:
    """Bits of an unsigned number at their place."""
    return bits << shift


def unzigzag(rest: int) -> int:
    """The signed number of `zigzag`, of 64 bits."""
    return ((rest & 0xFFFFFFFFFFFFFFFF) >> 1) ^ -(rest & 1)


def power(exponent: int) -> int:
    """Ten to the power of 0 to 18."""
    return 10**exponent  # type: ignore[no-any-return]


def utf8(data: bytes, start: int, size: int) -> bool:
    """Whether these bytes are valid UTF-8 (no surrogates, no overlong forms)."""
    try:
        data[start : start + size].decode()
    except UnicodeDecodeError:
        return False
    return True


def murmur2(data: bytes) -> int:
    """Kafka's hash of a key."""
    return _murmur2.murmur2(data)


def exact_type(value: Any) -> int:
    """1 bool, 2 int of 64 bits, 3 float, 4 str, 5 bytes; 0 for anything else."""
    kind = type(value)
    if kind is int:
        return 2 if -(2**63) <= value < 2**63 else 0
    if kind is str:
        return 4
    return {bool: 1, float: 3, bytes: 5}.get(kind, 0)


def text_bytes(value: str) -> bytes | None:
    """UTF-8 of a str, or None when it has none."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        return None
