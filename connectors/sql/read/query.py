"""Reads as text with bound parameters: pure, tested without a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.model.encoded_text import EncodedText
from connectors.sql.dialect import SqlDialect
from connectors.sql.postgres.session_settings import FROM_BYTES
from connectors.sql.sqlite.stored_text import stored_forms

HIT_COLUMN = "bridge_hit"
SEEN_COLUMN = "bridge_seen"
ROW_COLUMNS = "r.*"
"""All columns of a row, as they are."""


@dataclass(frozen=True, slots=True)
class Query:
    """Statement text with `:name` parameters."""

    text: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """How a database's names are written in statements."""

    quote: Callable[[str], str]

    def column(self, name: str) -> str:
        """A quoted column, safe inside of `text()`, where a colon begins a parameter."""
        return self.quote(name).replace(":", "\\:")

    def table(self, name: str) -> str:
        """A quoted table of the form `table` or `schema.table`."""
        return ".".join(self.column(part) for part in name.split("."))


def padded(keys: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Keys repeated up to a power of two, so that few distinct statements are ever prepared."""
    size = 1 << (len(keys) - 1).bit_length()
    return [*keys, *([keys[-1]] * (size - len(keys)))]


def key_condition(
    dialect: SqlDialect,
    naming: Identifiers,
    columns: Sequence[str],
    keys: Sequence[tuple[Any, ...]],
    natives: Sequence[str],
) -> Query:
    """The condition that `columns` equal one of `keys`; `keys` not empty, without nulls."""
    names = [f"r.{naming.column(column)}" for column in columns]
    if dialect.lookup == "any":
        arrays, values = key_arrays(dialect, keys, natives)
        if len(names) == 1:
            return Query(f"{names[0]} = ANY({arrays[0]})", values)
        rows = f"SELECT * FROM unnest({', '.join(arrays)})"
        return Query(f"({', '.join(names)}) IN ({rows})", values)
    if dialect.encoded_text:
        keys = [form for key in keys for form in stored_forms(key)]
    filled = padded(keys)
    parameters = {
        f"k{row}_{at}": dialect.bind(value)
        for row, key in enumerate(filled)
        for at, value in enumerate(key)
    }
    if len(names) == 1:
        inside = ", ".join(f":k{row}_0" for row in range(len(filled)))
        return Query(f"{names[0]} IN ({inside})", parameters)
    if dialect.lookup == "rows":
        row_texts = [
            "(" + ", ".join(f":k{row}_{at}" for at in range(len(names))) + ")"
            for row in range(len(filled))
        ]
        values_word = "VALUES " if dialect.name == "sqlite" else ""
        inside = values_word + ", ".join(row_texts)
        return Query(f"({', '.join(names)}) IN ({inside})", parameters)
    alternatives = [
        "(" + " AND ".join(f"{name} = :k{row}_{at}" for at, name in enumerate(names)) + ")"
        for row in range(len(filled))
    ]
    return Query(f"({' OR '.join(alternatives)})", parameters)


def key_arrays(
    dialect: SqlDialect, keys: Sequence[tuple[Any, ...]], natives: Sequence[str]
) -> tuple[list[str], dict[str, Any]]:
    """One array for each column of `keys`, and their parameters."""
    arrays = [
        _array(f"k{at}", dialect.array_type(native), [key[at] for key in keys])
        for at, native in enumerate(natives)
    ]
    values = {f"k{at}": [dialect.bind(key[at]) for key in keys] for at, _ in enumerate(natives)}
    return arrays, values


def _array(parameter: str, array_type: str, values: Sequence[Any]) -> str:
    """The array of these values of a column; text of a code page goes as bytes."""
    if array_type == "bytea[]" or not any(isinstance(value, EncodedText) for value in values):
        return f"CAST(:{parameter} AS {array_type})"
    text = FROM_BYTES.format("b")
    return (
        f"ARRAY(SELECT CAST({text} AS {array_type.removesuffix('[]')}) "
        f"FROM unnest(CAST(:{parameter} AS bytea[])) AS b)"
    )


def sorts_after(
    dialect: SqlDialect, naming: Identifiers, columns: Sequence[str], after: Sequence[Any]
) -> Query:
    """The condition that rows are after the values `after` in the order of `columns`; nulls sort first."""
    names = [f"r.{naming.column(column)}" for column in columns]
    parameters = {f"a{at}": value for at, value in enumerate(after) if value is not None}
    if dialect.row_compare and None not in after:
        right = ", ".join(f":a{at}" for at in range(len(names)))
        left = ", ".join(names)
        return Query(f"({left}) > ({right})" if len(names) > 1 else f"{left} > {right}", parameters)
    alternatives = []
    for at, name in enumerate(names):
        equal = [
            f"{names[before]} IS NULL" if after[before] is None else f"{names[before]} = :a{before}"
            for before in range(at)
        ]
        more = f"{name} IS NOT NULL" if after[at] is None else f"{name} > :a{at}"
        alternatives.append("(" + " AND ".join([*equal, more]) + ")")
    return Query(f"({' OR '.join(alternatives)})", parameters)


def value_condition(
    dialect: SqlDialect, naming: Identifiers, where: Mapping[str, Any], prefix: str = "w"
) -> Query:
    """The condition that each column equals its value, or one of its values."""
    parts: list[str] = []
    parameters: dict[str, Any] = {}
    for at, (column, value) in enumerate(where.items()):
        name = f"r.{naming.column(column)}"
        several = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
        choices = list(value) if several else [value]
        if dialect.encoded_text:
            choices = [form for choice in choices for (form,) in stored_forms((choice,))]
        options = []
        if any(choice is None for choice in choices):
            options.append(f"{name} IS NULL")
        for number, choice in enumerate(choice for choice in choices if choice is not None):
            parameter = f"{prefix}{at}_{number}"
            parameters[parameter] = dialect.bind(choice)
            options.append(f"{name} = :{parameter}")
        parts.append(f"({' OR '.join(options)})" if options else "1 = 0")
    return Query(" AND ".join(parts), parameters)


def rows_where(
    dialect: SqlDialect,
    naming: Identifiers,
    table: str,
    conditions: Sequence[Query],
    *,
    order: Sequence[str] = (),
    limit: int | None = None,
    suffix: str = "",
    only: bool = False,
    select: str = ROW_COLUMNS,
    seen: str = "",
) -> Query:
    """All columns of the rows that fulfil all `conditions`; with `only` of this table alone, not of those
    that inherit from it. With `seen`, the expression of a visibility query, its value and a marker of
    real rows are before the columns, and one row is returned even if none is found: rows and visibility
    must be from the same statement.
    """
    parameters: dict[str, Any] = {}
    for condition in conditions:
        parameters |= condition.parameters
    filters = [condition.text for condition in conditions if condition.text]
    ordered = [naming.column(column) for column in order]
    hit = f"1 AS {HIT_COLUMN}, " if seen else ""
    text = f"SELECT {hit}{select} FROM {'ONLY ' if only else ''}{naming.table(table)} AS r"
    if dialect.name == "oracle":
        text = text.replace(" AS r", " r")
    if filters:
        text += f" WHERE {' AND '.join(filters)}"
    if ordered:
        text += " ORDER BY " + ", ".join(f"r.{name}" for name in ordered)
    if limit is not None:
        if not ordered and dialect.name == "mssql":
            text += " ORDER BY (SELECT NULL)"
        text += f" {dialect.limit}"
        parameters["bridge_limit"] = limit
    if suffix:
        text += f" {suffix}"
    if seen:
        text = (
            f"SELECT v.{SEEN_COLUMN}, t.* FROM (SELECT {seen} AS {SEEN_COLUMN}) AS v "
            f"LEFT JOIN ({text}) AS t ON 1 = 1"
        )
        if ordered:
            text += " ORDER BY " + ", ".join(f"t.{name}" for name in ordered)
    return Query(text, parameters)
