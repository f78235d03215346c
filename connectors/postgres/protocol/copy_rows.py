"""COPY BINARY data to raw rows. Pure.

PostgreSQL sends one row a message, the header before the first row and the trailer as the
last message. The protocol doesn't promise it, and walking each row in Python would cost more
than reading it, so it is checked: each message begins as a row, and the outer ones are whole.
Source: https://www.postgresql.org/docs/15/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
TRAILER = b"\xff\xff"
_HEADER = len(SIGNATURE) + 8
_EXTENSION = struct.Struct(">I")


def rows_of(frames: Sequence[bytes | memoryview], columns: int, *, first: bool) -> list[bytes]:
    """The rows in these messages of one COPY, without header and trailer.

    `first`: the messages begin with the header. Raises ValueError for what isn't COPY BINARY of
    so many columns.
    """
    rows = list(map(bytes, frames))
    if rows and first:
        rows[0] = without_header(rows[0])
        if not rows[0]:
            del rows[0]
    if rows and rows[-1] == TRAILER:
        del rows[-1]
    head = struct.pack(">h", columns)
    if not all(row[:2] == head for row in rows):
        raise ValueError(f"a COPY message that is no row of {columns} columns")
    for row in rows[:1] + rows[-1:]:
        values_of(row)
    return rows


def without_header(data: bytes) -> bytes:
    """The data after the header. Raises ValueError if there is no header."""
    if not data.startswith(SIGNATURE) or len(data) < _HEADER:
        raise ValueError("COPY data without its header")
    (extension,) = _EXTENSION.unpack_from(data, len(SIGNATURE) + 4)
    return data[_HEADER + extension :]


def values_of(row: bytes) -> list[bytes | None]:
    """A row's columns. Raises ValueError when it is cut off."""
    count = int.from_bytes(row[:2], "big", signed=True)
    values: list[bytes | None] = []
    at = 2
    for _ in range(count):
        length = int.from_bytes(row[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if length < 0 else row[at : at + length])
        at += max(length, 0)
    if at != len(row):
        raise ValueError("a COPY message that is not one whole row")
    return values
