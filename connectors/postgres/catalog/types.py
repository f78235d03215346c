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

#: Types of pg_catalog whose wire code is their name. numeric's field type depends on its typmod.
_CATALOG: dict[str, FieldType] = {
    "bool": FieldType("boolean"),
    **dict.fromkeys(("int2", "int4", "int8", "oid"), FieldType("integer")),
    "float4": FieldType("float"),
    "float8": FieldType("double"),
    "numeric": STRING,
    "money": FieldType("decimal", 19, 2),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "char", "xml"), STRING),
    "bytea": FieldType("bytes"),
    "date": FieldType("date"),
    "time": FieldType("time"),
    "timetz": STRING,
    "timestamp": FieldType("local_timestamp"),
    "timestamptz": FieldType("timestamp"),
    "interval": STRING,
    "uuid": FieldType("uuid"),
    "json": FieldType("json"),
    "jsonb": FieldType("json"),
    **dict.fromkeys(("inet", "cidr", "macaddr", "macaddr8", "bit", "varbit"), STRING),
    **dict.fromkeys(("point", "lseg", "box", "path", "polygon", "line", "circle"), STRING),
    **dict.fromkeys(("tsvector", "pg_lsn", "tid"), STRING),
}
#: Wire codes of types whose binary form is their text.
TEXT_WIRES = frozenset({"text", "varchar", "bpchar", "name", "xml", "citext", "enum", "json"})
#: typtype of ranges and multiranges, and the first word of their wire codes.
_RANGES = {"r": "range", "m": "multirange"}
_VARHDRSZ = 4
_DEPTH = 32


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What pg_type says of one type. `kind` is typtype; `base`/`base_typmod` of a domain;
    `element` of a true array, a range or a multirange, else 0; `delimiter` between the items in
    an array's text.
    """

    oid: int
    schema: str
    name: str
    kind: str
    base: int = 0
    base_typmod: int = -1
    element: int = 0
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class DecodedType:
    """How a column is decoded: its field type, wire code, and whether its binary form can be."""

    type: FieldType
    wire: str
    binary: bool


#: A type that the catalogue no longer knows: its text is all that can be had.
UNKNOWN = DecodedType(STRING, TEXT, binary=False)


def decode(oid: int, typmod: int, types: Mapping[int, TypeRow]) -> DecodedType:
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
        if row.kind in _RANGES:
            kind, word = STRING, _RANGES[row.kind]
        else:
            kind = FieldType("array", item=item.type)
            word = "array" if row.delimiter == "," else f"array{row.delimiter}"
        if not item.binary:
            # Snapshots cast such an array to text[], the stream sends it as text.
            return DecodedType(kind, TEXT if kind == STRING else f"{word}({TEXT})", binary=False)
        return DecodedType(kind, f"{word}({item.wire})", binary=True)
    if row.kind == "e":
        return DecodedType(STRING, "enum", binary=True)
    if row.name == "citext" and row.kind == "b":
        return DecodedType(STRING, "citext", binary=True)
    if row.schema != "pg_catalog" or row.name not in _CATALOG:
        return UNKNOWN
    kind = numeric_type(typmod) if row.name == "numeric" else _CATALOG[row.name]
    return DecodedType(kind, row.name, binary=True)


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
