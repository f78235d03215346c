"""An Ask as one statement with bound parameters. Pure, tested without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.connector import Ask, Column, ColumnCondition, ColumnOrder, Shape
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import Rejected
from connectors.sql.dialect import SqlDialect
from connectors.sql.postgres.session_settings import FROM_BYTES
from connectors.sql.read.query import (
    HIT_COLUMN,
    SEEN_COLUMN,
    Identifiers,
    Query,
    key_arrays,
    key_condition,
)

RANK_COLUMN = "bridge_rank"


@dataclass(frozen=True, slots=True)
class AskedTable:
    """What a statement needs to know of the table on one connection.

    shape: its columns.
    order: of the answer; total, or empty.
    select: what to select of a row `r`: all columns, or those that are needed.
    only: only its own rows, not those of tables that inherit from it.
    seen: the expression of a visibility query; "" for none.
    """

    shape: Shape
    order: tuple[ColumnOrder, ...]
    select: str
    only: bool = False
    seen: str = ""


def named_columns(ask: Ask, order: Sequence[ColumnOrder]) -> list[str]:
    """Every column that the statement names."""
    conditions = [condition.column for condition in ask.where]
    return [*ask.columns, *conditions, *(part.column for part in order)]


class AskQuery:
    """Builds the statement of one Ask, whose keys are distinct and without nulls."""

    def __init__(
        self, dialect: SqlDialect, naming: Identifiers, ask: Ask, table: AskedTable
    ) -> None:
        self._dialect = dialect
        self._naming = naming
        self._ask = ask
        self._table = table
        self._columns: Mapping[str, Column] = {each.name: each for each in table.shape.columns}
        self._parameters: dict[str, Any] = {}
        for name in named_columns(ask, table.order):
            if name not in self._columns:
                raise Rejected("bad_key", f"table {ask.table!r} has no column {name!r}")

    def build(self, *, lateral: bool = False) -> Query:
        """The statement. `lateral`: the limit of each key is its own subquery's, which reads no more
        than it returns, but returns a row once for each of the keys that equal it.
        """
        ask, table = self._ask, self._table
        if ask.per_key is None:
            source = self._from(self._conditions())
        elif lateral:
            source = self._each_key()
        else:
            source = self._ranked()
        hit = f"1 AS {HIT_COLUMN}, " if table.seen else ""
        text = f"SELECT {hit}{table.select} {source}{self._ordered('r')}{self._limited()}"
        if table.seen:
            text = (
                f"SELECT v.{SEEN_COLUMN}, t.* FROM (SELECT {table.seen} AS {SEEN_COLUMN}) AS v "
                f"LEFT JOIN ({text}) AS t ON 1 = 1{self._ordered('t')}"
            )
        return Query(text, self._parameters)

    def _from(self, conditions: Sequence[str]) -> str:
        """`FROM ... WHERE ...` of the table's own rows."""
        alias = "r" if self._dialect.name == "oracle" else "AS r"
        only = "ONLY " if self._table.only else ""
        text = f"FROM {only}{self._naming.table(self._ask.table)} {alias}"
        return f"{text} WHERE {' AND '.join(conditions)}" if conditions else text

    def _conditions(self, *, with_keys: bool = True) -> list[str]:
        ask, conditions = self._ask, []
        if with_keys and ask.columns:
            conditions.append(self._among_keys())
        conditions += [self._compared(at, condition) for at, condition in enumerate(ask.where)]
        if ask.after is not None:
            conditions.append(self._after(ask.after))
        return conditions

    def _among_keys(self) -> str:
        ask = self._ask
        if not ask.keys:
            return "1 = 0"
        types = [self._columns[name].native for name in ask.columns]
        query = key_condition(self._dialect, self._naming, ask.columns, ask.keys, types)
        self._parameters |= query.parameters
        return query.text

    def _compared(self, at: int, condition: ColumnCondition) -> str:
        name = self._name(condition.column)
        values = [
            self._bound(f"w{at}_{number}", condition.column, value)
            for number, value in enumerate(condition.values)
        ]
        if condition.operator == "in":
            return f"{name} IN ({', '.join(values)})" if values else "1 = 0"
        if condition.operator == "between":
            return f"{name} BETWEEN {values[0]} AND {values[1]}"
        return f"{name} {condition.operator} {values[0]}"

    def _after(self, after: Sequence[Any]) -> str:
        """That a row is after these values: it is equal in some first columns, and then after."""
        order = self._table.order
        bound = [
            None if value is None else self._bound(f"a{at}", part.column, value)
            for at, (part, value) in enumerate(zip(order, after, strict=True))
        ]
        plain = not any(part.descending or self._may_be_null(part.column) for part in order)
        if plain and self._dialect.row_compare and None not in bound:
            names = ", ".join(self._name(part.column) for part in order)
            values = ", ".join(value for value in bound if value is not None)
            return f"({names}) > ({values})" if len(order) > 1 else f"{names} > {values}"
        equal: list[str] = []
        alternatives = []
        for part, value in zip(order, bound, strict=True):
            beyond = self._beyond(part, value)
            if beyond:
                alternatives.append(" AND ".join([*equal, beyond]))
            name = self._name(part.column)
            equal.append(f"{name} IS NULL" if value is None else f"{name} = {value}")
        return f"({' OR '.join(f'({each})' for each in alternatives)})" if alternatives else "1 = 0"

    def _beyond(self, part: ColumnOrder, value: str | None) -> str:
        """That the column stands after this value; "" where nothing does."""
        name = self._name(part.column)
        if value is None:
            return f"{name} IS NOT NULL" if part.nulls == "first" else ""
        beyond = f"{name} {'<' if part.descending else '>'} {value}"
        if part.nulls == "last" and self._may_be_null(part.column):
            return f"({beyond} OR {name} IS NULL)"
        return beyond

    def _ranked(self) -> str:
        """The table with the rows of each key numbered; those within the limit."""
        keys = ", ".join(self._name(column) for column in self._ask.columns)
        rank = f"ROW_NUMBER() OVER (PARTITION BY {keys}{self._ordered('r')}) AS {RANK_COLUMN}"
        alias = "r" if self._dialect.name == "oracle" else "AS r"
        self._parameters["bridge_per_key"] = self._ask.per_key
        inner = f"SELECT r.*, {rank} {self._from(self._conditions())}"
        return f"FROM ({inner}) {alias} WHERE r.{RANK_COLUMN} <= :bridge_per_key"

    def _each_key(self) -> str:
        """The keys, each with its first rows by the order."""
        ask = self._ask
        if not ask.keys:
            return self._from(["1 = 0"])
        types = [self._columns[name].native for name in ask.columns]
        arrays, values = key_arrays(self._dialect, ask.keys, types)
        self._parameters |= values
        self._parameters["bridge_per_key"] = ask.per_key
        names = [f"k{at}" for at in range(len(ask.columns))]
        equal = [
            f"{self._name(column)} = k.{name}"
            for column, name in zip(ask.columns, names, strict=True)
        ]
        inner = self._from([*equal, *self._conditions(with_keys=False)])
        return (
            f"FROM unnest({', '.join(arrays)}) AS k({', '.join(names)}) CROSS JOIN LATERAL "
            f"(SELECT r.* {inner}{self._ordered('r')} LIMIT :bridge_per_key) AS r"
        )

    def _ordered(self, alias: str) -> str:
        """`ORDER BY ...`; "" without an order."""
        parts = [self._order_part(alias, part) for part in self._table.order]
        return f" ORDER BY {', '.join(parts)}" if parts else ""

    def _order_part(self, alias: str, part: ColumnOrder) -> str:
        name = f"{alias}.{self._naming.column(part.column)}"
        direction = f"{name} DESC" if part.descending else name
        if not self._may_be_null(part.column):
            return direction  # An index in this order can be used.
        if self._dialect.null_order:
            return f"{direction} NULLS {part.nulls.upper()}"
        last = part.nulls == "last"
        return f"CASE WHEN {name} IS NULL THEN {int(last)} ELSE {int(not last)} END, {direction}"

    def _limited(self) -> str:
        if self._ask.limit is None:
            return ""
        self._parameters["bridge_limit"] = self._ask.limit
        needs_order = self._dialect.name == "mssql" and not self._table.order
        return f"{' ORDER BY (SELECT NULL)' if needs_order else ''} {self._dialect.limit}"

    def _bound(self, parameter: str, column: str, value: Any) -> str:
        """A value as the column compares it."""
        self._parameters[parameter] = self._dialect.bind(value)
        if not self._dialect.casts:
            if isinstance(value, EncodedText) and self._dialect.encoded_text:
                self._parameters[parameter] = value
            return f":{parameter}"
        native = self._dialect.array_type(self._columns[column].native).removesuffix("[]")
        text = f":{parameter}"
        if isinstance(value, EncodedText) and native != "bytea":
            text = FROM_BYTES.format(f"CAST({text} AS bytea)")
        return f"CAST({text} AS {native})"

    def _name(self, column: str) -> str:
        return f"r.{self._naming.column(column)}"

    def _may_be_null(self, column: str) -> bool:
        return self._columns[column].nullable
