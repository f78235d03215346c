"""PostgreSQL's types as field types and wire codes. Pure.

`docs/types.md` is the same table for people. A type is decoded from PostgreSQL's binary form
where it is common and from its text otherwise; then `binary` is False, the stream is asked for
text, and snapshots cast the column to text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.types import MAX_PRECISION, FieldType

TEXT = "text"
STRING = FieldType("string")

#: Types of pg_catalog by name: wire code and field type. numeric is decided by its typmod.
_CATALOG: dict[str, tuple[str, FieldType]] = {
    "bool": ("bool", FieldType("boolean")),
    "int2": ("int2", FieldType("integer")),
    "int4": ("int4", FieldType("integer")),
    "int8": ("int8", FieldType("integer")),
    "oid": ("oid", FieldType("integer")),
    "float4": ("float4", FieldType("float")),
    "float8": ("float8", FieldType("double")),
    "numeric": ("numeric", STRING),
    "bytea": ("bytea", FieldType("bytes")),
    "date": ("date", FieldType("date")),
    "time": ("time", FieldType("time")),
    "timestamp": ("timestamp", FieldType("local_timestamp")),
    "timestamptz": ("timestamptz", FieldType("timestamp")),
    "uuid": ("uuid", FieldType("uuid")),
    "json": ("json", FieldType("json")),
    "jsonb": ("jsonb", FieldType("json")),
}
#: Functions that send a value as its text, so that both forms are the same bytes.
_TEXT_SENDERS = frozenset(
    {"textsend", "varcharsend", "bpcharsend", "namesend", "enum_send", "xml_send", "citextsend"}
)
_VARHDRSZ = 4
_DEPTH = 32


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What pg_type says of one type. `kind` is typtype; `base`/`base_typmod` of a domain;
    `element` of a true array, else 0; `sender` the name of its binary output function.
    """

    oid: int
    schema: str
    name: str
    kind: str
    base: int = 0
    base_typmod: int = -1
    element: int = 0
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """How a column is decoded: its field type, wire code, and whether its binary form can be."""

    type: FieldType
    wire: str
    binary: bool


#: A type that the catalogue no longer knows: its text is all that can be had.
UNKNOWN = Decoded(STRING, TEXT, binary=False)


def decode(oid: int, typmod: int, types: Mapping[int, TypeRow]) -> Decoded:
    """How values of this type are decoded; domains as their base type, enums as their label."""
    for _ in range(_DEPTH):
        row = types.get(oid)
        if row is None:
            return UNKNOWN
        if row.kind != "d":
            break
        oid, typmod = row.base, row.base_typmod if typmod == -1 else typmod
    else:
        return UNKNOWN
    if row.element:
        item = decode(row.element, typmod, types)
        return Decoded(FieldType("array", item=item.type), f"array({item.wire})", item.binary)
    if row.sender in _TEXT_SENDERS:
        return Decoded(STRING, TEXT, binary=True)
    if row.schema != "pg_catalog" or row.name not in _CATALOG:
        return UNKNOWN
    wire, kind = _CATALOG[row.name]
    if wire == "numeric":
        kind = numeric_type(typmod)
    return Decoded(kind, wire, binary=True)


def numeric_type(typmod: int) -> FieldType:
    """`numeric(p,s)` as a decimal; without precision, the exact text."""
    if typmod < _VARHDRSZ:
        return STRING
    packed = typmod - _VARHDRSZ
    precision, scale = (packed >> 16) & 0xFFFF, packed & 0x7FF
    if scale >= 0x400:  # eleven bits, signed: numeric(3,-2) rounds to hundreds
        scale -= 0x800
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    return FieldType("decimal", precision, scale) if precision <= MAX_PRECISION else STRING


def missing(types: Mapping[int, TypeRow], wanted: set[int]) -> set[int]:
    """Type oids that `decode` of `wanted` would ask for and `types` doesn't have."""
    unknown: set[int] = set()
    seen: set[int] = set()
    todo = list(wanted)
    while todo:
        oid = todo.pop()
        if oid in seen or oid == 0:
            continue
        seen.add(oid)
        row = types.get(oid)
        if row is None:
            unknown.add(oid)
        else:
            todo += [row.base, row.element]
    return unknown
