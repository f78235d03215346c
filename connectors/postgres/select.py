"""Statements that read a table's rows. Pure; values go in as quoted literals, because COPY takes
no parameters, and without a cast, so that they take the type of the column they stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.connector import Condition
from bridge.model.errors import Rejected
from connectors.postgres.catalog import Attribute, Table, literal, quote
from connectors.postgres.types import Decoded


def value_text(value: Any) -> str:
    """A source value as the text that PostgreSQL reads for any type. Raises Rejected."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
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


def column_text(attribute: Attribute, decoded: Decoded) -> str:
    """The column in a SELECT list; as text where its binary form can't be decoded."""
    name = quote(attribute.name)
    if decoded.binary:
        return name
    cast = "text[]" if decoded.wire == "array(text)" else "text"
    return f"{name}::{cast} AS {name}"


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


def behind_text(key: Sequence[str], after: Sequence[Any] | None) -> str:
    """Rows that sort behind `after`: a comparison of rows, which an index on the key serves."""
    if after is None:
        return ""
    left = ", ".join(quote(name) for name in key)
    right = ", ".join(literal(str(value)) for value in after)
    return f"({left}) > ({right})"


def from_text(table: Table) -> str:
    """The table without those that inherit from it; a partitioned one with its partitions."""
    return table.quoted if table.kind == "p" else f"ONLY {table.quoted}"


def chunk_text(
    table: Table,
    columns: Sequence[str],
    key: Sequence[str],
    conditions: Sequence[str],
    limit: int,
) -> str:
    """The SELECT of one chunk, in key order."""
    filters = " AND ".join(f"({condition})" for condition in conditions if condition)
    where = f" WHERE {filters}" if filters else ""
    order = ", ".join(quote(name) for name in key)
    return (
        f"SELECT {', '.join(columns)} FROM {from_text(table)}{where} "
        f"ORDER BY {order} LIMIT {int(limit)}"
    )


def copy_text(select: str) -> str:
    """The COPY of a SELECT."""
    return f"COPY ({select}) TO STDOUT (FORMAT BINARY)"
