"""COPY BINARY data to raw rows. Pure.

PostgreSQL sends one row a message, the header before the first one and the trailer as the last;
the protocol promises none of it, so data that looks otherwise is joined and walked.
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
    if all(row[:2] == head for row in rows):
        return rows
    return walked(b"".join(rows), columns)


def without_header(data: bytes) -> bytes:
    """What follows the header. Raises ValueError when there is none."""
    if not data.startswith(SIGNATURE) or len(data) < _HEADER:
        raise ValueError("COPY data without its header")
    (extension,) = _EXTENSION.unpack_from(data, len(SIGNATURE) + 4)
    return data[_HEADER + extension :]


def walked(data: bytes, columns: int) -> list[bytes]:
    """Rows told apart by their own lengths. Raises ValueError when one is cut off."""
    rows = []
    at = 0
    while at < len(data) and data[at : at + 2] != TRAILER:
        begin = at
        if int.from_bytes(data[at : at + 2], "big", signed=True) != columns:
            raise ValueError(f"a COPY row that has not {columns} columns")
        at += 2
        for _ in range(columns):
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4 + max(length, 0)
        if at > len(data):
            raise ValueError("a COPY row is cut off")
        rows.append(data[begin:at])
    return rows


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
        raise ValueError("a COPY row is cut off")
    return values
