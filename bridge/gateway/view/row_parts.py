"""The parts of a change record that a view keeps, taken from its bytes. Pure.

Nothing is decoded but the operation, the position and the fields that rows are looked up by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

from bridge.gateway.view.index_values import NoIndexValue, index_encoder
from bridge.gateway.view.table_forms import TableForm
from bridge.model.avro import OPS, field_type
from bridge.model.framing import HEADER_SIZE
from bridge.model.position import WIDTH
from bridge.plan.avro_reader import codes, reader
from bridge.plan.execute import NULLABLE, read_end, scan, scan_change

UNKNOWN: Final = b""
"""The row of a key whose state isn't known: the legacy system has to be asked for it."""
DELETE: Final = OPS.index("delete")
POSITION_BYTES: Final = 15

RowWrite = tuple[Any, ...]
"""The values of `TableForm.columns`."""


class ChangeParts(NamedTuple):
    """position: of the change, as text.
    row: header and Avro bytes of `after`; None: the row was deleted.
    missing: the fields that were not sent.
    indexed: the bytes of the indexed fields, aligned; None: null, or not sent.
    """

    position: str
    row: bytes | None
    missing: tuple[str, ...]
    indexed: tuple[bytes | None, ...]


class RowLayout:
    """The rows that one schema wrote, for the table of a view.

    `schema_text`: of a change. Raises ValueError or KeyError for any other schema.
    """

    def __init__(self, schema_text: str, form: TableForm) -> None:
        self.fields: list[dict[str, Any]] = json.loads(schema_text)["fields"][1]["type"][1][
            "fields"
        ]
        self.codes = b"".join(codes(field["type"]) for field in self.fields)
        self.field_codes = [codes(field["type"]) for field in self.fields]
        at = {field["name"]: number for number, field in enumerate(self.fields)}
        self._index: list[tuple[int, bytes, Callable[[bytes, int], bytes] | None]] = [
            (-1, b"", None)
            if name not in at
            else (at[name], self.field_codes[at[name]], _conversion(self.fields[at[name]], wanted))
            for name, wanted in zip(form.indexed, form.types, strict=True)
        ]

    def parts(self, value: bytes) -> ChangeParts:
        """Take a record's value apart. Raises ValueError where the bytes end too early, or for a
        change without the position that every change has.
        """
        at = HEADER_SIZE + 1
        if value[at]:
            at = scan(value, at + 1, self.codes, [])
        else:
            at += 1
        row: bytes | None = None
        offsets: list[int] = []
        if value[at]:
            start = at + 1
            at = scan(value, start, self.codes, offsets)
            row = value[:HEADER_SIZE] + value[start:at]
        else:
            at += 1
        missing: tuple[str, ...] = ()
        if value[at] == 0 and value[at + 1] == 2 * WIDTH:
            position = value[at + 2 : at + 2 + WIDTH].decode()
        else:
            change = scan_change(value, HEADER_SIZE, self.codes)
            missing, position = change[3], change[4]
        if len(position) != WIDTH:
            raise ValueError(f"a change has the position {position!r}")
        if value[HEADER_SIZE] == 2 * DELETE:
            row = None
        return ChangeParts(position, row, missing, self.index_of(value, offsets) if row else ())

    def index_of(self, data: bytes, offsets: Sequence[int]) -> tuple[bytes | None, ...]:
        """The indexed fields of a row whose fields begin at these offsets. Raises NoIndexValue for a
        value that the index can't have.
        """
        if not self._index:
            return ()
        values: list[bytes | None] = []
        for number, code, convert in self._index:
            if number < 0:
                raise NoIndexValue("it was written before the field was added")
            at = offsets[number]
            if at < 0:
                values.append(None)
            elif convert is None:
                values.append(data[at : read_end(data, at, code)])
            else:
                values.append(convert(data, at))
        return tuple(values)

    def merged(self, row: bytes, held: bytes, earlier: RowLayout, missing: Sequence[str]) -> bytes:
        """`row` with the fields that weren't sent as they are in `held`; UNKNOWN if the schema that
        wrote that, `earlier`, has another type for one of them.
        """
        own_offsets, held_offsets = self.offsets(row), earlier.offsets(held)
        number_of = {field["name"]: number for number, field in enumerate(earlier.fields)}
        out = [row[:HEADER_SIZE]]
        for number, field in enumerate(self.fields):
            data, offsets, at = row, own_offsets, number
            if field["name"] in missing:
                at = number_of.get(field["name"], -1)
                if at < 0 or earlier.fields[at]["type"] != field["type"]:
                    return UNKNOWN
                data, offsets = held, held_offsets
            out.append(_field_bytes(data, offsets[at], self.field_codes[number]))
        return b"".join(out)

    def offsets(self, row: bytes) -> list[int]:
        """Where each field of a row begins (-1: null). Raises ValueError."""
        offsets: list[int] = []
        scan(row, HEADER_SIZE, self.codes, offsets)
        return offsets


def _field_bytes(data: bytes, at: int, code: bytes) -> bytes:
    """A field with the branch of its union."""
    if not code[0] & NULLABLE:
        return data[at : read_end(data, at, code)]
    return b"\0" if at < 0 else b"\2" + data[at : read_end(data, at, code)]


def _conversion(field: dict[str, Any], wanted: Any) -> Callable[[bytes, int], bytes] | None:
    """What takes a field of another type to the index's; None where it has that type."""
    kind = field["type"]
    plain = next(each for each in kind if each != "null") if isinstance(kind, list) else kind
    if field_type(plain) == wanted:
        return None
    read, encode = reader(kind), index_encoder(wanted)

    def converted(data: bytes, at: int) -> bytes:
        return encode(read(data, at))

    return converted


def compact_position(text: str) -> bytes:
    """A position's 15 bytes, which compare as its text does. Raises ValueError."""
    return bytes.fromhex(text[:4] + text[5:21] + text[22:])


def position_text(position: bytes) -> str:
    """The position of its 15 bytes."""
    text = position.hex().upper()
    return f"{text[:4]}-{text[4:20]}-{text[20:]}"


def checksum(key: bytes, position: bytes, row: bytes, index: Sequence[bytes | None]) -> int:
    """Of everything that the row of a table says, so that no damaged row is served."""
    crc = crc32(row, crc32(position, crc32(key)))
    for value in index:
        crc = crc32(b"\0" if value is None else value, crc)
    return crc


def row_write(key: bytes, position: bytes, row: bytes, index: Sequence[bytes | None]) -> RowWrite:
    """The values of a row's columns."""
    return (key, position, row, checksum(key, position, row, index), *index)


__all__ = [
    "UNKNOWN",
    "ChangeParts",
    "NoIndexValue",
    "RowLayout",
    "RowWrite",
    "checksum",
    "compact_position",
    "position_text",
    "row_write",
]
