"""Statements that read a table's rows. Pure; values go in as quoted literals, because COPY takes
no parameters, and mostly without a cast, so that they take the type of the column beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from bridge.connector import Condition
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import Rejected
from connectors.postgres.catalog.tables import CatalogColumn, CatalogTable, literal, quote
from connectors.postgres.catalog.types import DecodedType

#: What a chunk's SELECT calls the table. Its columns are always named with it: an ORDER BY takes a
#: bare name for a column of the SELECT list first, which may be the text of the table's.
ROW = "r"


def value_text(value: Any) -> str:
    """A source value as the text that PostgreSQL reads for any type. Raises Rejected."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, EncodedText):
        return value.decode(errors="surrogateescape")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, (str, int, float, UUID)):
        text = str(value)
        if "\x00" in text:
            raise Rejected(
                "bad_key", "a text value holds a zero byte, which PostgreSQL can't store"
            )
        return text
    raise Rejected("bad_key", f"a value of type {type(value).__name__} can't be asked for")


def is_utf8(value: Any) -> bool:
    """Whether a condition's value, and each of its values, can be sent as UTF-8."""
    choices = value if isinstance(value, list) else [value]
    try:
        for choice in choices:
            if isinstance(choice, EncodedText):
                choice.decode()
    except UnicodeDecodeError:
        return False
    return True


def column_text(attribute: CatalogColumn, decoded: DecodedType) -> str:
    """The column in a chunk's SELECT list; as text where its binary form can't be decoded."""
    name = quote(attribute.name)
    if decoded.binary:
        return f"{ROW}.{name}"
    cast = "text[]" if decoded.wire.startswith("array") else "text"
    return f"{ROW}.{name}::{cast} AS {name}"


def condition_text(where: Condition | None) -> str:
    """`"a" = 'x' AND "b" IN ('1', '2')`; empty for no condition."""
    parts = []
    for column, value in (where or {}).items():
        several = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
        choices = list(value) if several else [value]
        name = quote(column)
        texts = [literal(value_text(choice)) for choice in choices if choice is not None]
        options = [f"{name} IN ({', '.join(texts)})"] if texts else []
        if len(texts) < len(choices):
            options.append(f"{name} IS NULL")
        parts.append(f"({' OR '.join(options) or 'false'})")
    return " AND ".join(parts)


def behind_text(
    key: Sequence[str],
    after: Sequence[Any] | None,
    nullable: Collection[str] = (),
    casts: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Rows that sort after `after`, as PostgreSQL sorts: nulls last. Without `nullable` columns a
    comparison of rows, which an index on the key serves.

    `casts`: the types of columns whose operators don't say what a literal beside them is.
    """
    if after is None:
        return ""
    names = [f"{ROW}.{quote(name)}" for name in key]
    values = [
        None
        if value is None
        else literal(str(value)) + (f"::{casts[name]}" if name in casts else "")
        for name, value in zip(key, after, strict=True)
    ]
    if None not in values and not any(name in nullable for name in key):
        return f"({', '.join(names)}) > ({', '.join(map(str, values))})"
    alternatives = []
    equal: list[str] = []
    for column, name, value in zip(key, names, values, strict=True):
        if value is None:
            equal.append(f"{name} IS NULL")
            continue
        more = f"{name} > {value}"
        if column in nullable:
            more = f"({more} OR {name} IS NULL)"
        alternatives.append(" AND ".join([*equal, more]))
        equal.append(f"{name} = {value}")
    ranged = [f"{names[0]} >= {values[0]}"] if values[0] and key[0] not in nullable else []
    return " AND ".join([*ranged, f"({' OR '.join(alternatives) or 'false'})"])


def from_text(table: CatalogTable) -> str:
    """The table without those that inherit from it; a partitioned one with its partitions."""
    return table.quoted if table.kind == "p" else f"ONLY {table.quoted}"


def chunk_text(
    table: CatalogTable,
    columns: Sequence[str],
    key: Sequence[str],
    conditions: Sequence[str],
    limit: int,
    *,
    ties: bool = False,
) -> str:
    """The SELECT of one chunk, in key order; with `ties` never without a row whose key is the
    last one's too, as of keys that hold nulls there may be many.
    """
    filters = " AND ".join(f"({condition})" for condition in conditions if condition)
    where = f" WHERE {filters}" if filters else ""
    order = ", ".join(f"{ROW}.{quote(name)}" for name in key)
    first = f"FETCH FIRST {int(limit)} ROWS WITH TIES" if ties else f"LIMIT {int(limit)}"
    return (
        f"SELECT {', '.join(columns)} FROM {from_text(table)} AS {ROW}{where} "
        f"ORDER BY {order} {first}"
    )


def copy_text(select: str) -> str:
    """The COPY of a SELECT."""
    return f"COPY ({select}) TO STDOUT (FORMAT BINARY)"
