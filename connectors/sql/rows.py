"""From a result to raw rows of a Shape, and what their statement has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from bridge.connector import Shape, TableUse, Visibility
from bridge.model.errors import ConfigurationError
from connectors.sql.dialect import SqlDialect
from connectors.sql.query import Naming, Query
from connectors.sql.shapes import read_table
from connectors.sql.texts import statement_for


def naming_of(connection: Connection) -> Naming:
    """How this database's names are quoted."""
    return Naming(connection.dialect.identifier_preparer.quote_identifier)


@dataclass(slots=True)
class Found:
    """Names and tuples of one result."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    visibility: Visibility | None


def run_query(connection: Connection, dialect: SqlDialect, query: Query) -> Found:
    """All rows of `query` as the driver gives them."""
    result = connection.execute(statement_for(query.text, query.parameters), query.parameters)
    names = tuple(result.keys())
    rows = [tuple(row) for row in result]
    if dialect.seen is None:
        return Found(names, rows, None)
    visibility = dialect.seen.read(rows[0][0])
    return Found(names[2:], [row[2:] for row in rows if row[1] is not None], visibility)


def _inspected(connection: Connection, table: str, declared: Sequence[str]) -> Shape:
    return read_table(connection, table, declared).shape()


class Tables:
    """The Shapes that one part (a Reader, a Writer, a Snapshot) works with.

    A new Shape is made when a result shows other columns than the last one did.
    """

    def __init__(self, uses: Sequence[TableUse], dialect: SqlDialect) -> None:
        self._read = dialect.table or _inspected
        self._uses = {use.table: use for use in uses}
        self._shapes: dict[str, Shape] = {}

    def use(self, table: str) -> TableUse:
        """What the configuration says of a table; raises ConfigurationError for others."""
        if table not in self._uses:
            known = ", ".join(sorted(self._uses)) or "none"
            raise ConfigurationError(f"table {table!r} is not configured (known: {known})")
        return self._uses[table]

    def shape(self, connection: Connection, table: str) -> Shape:
        """The table's shape as last seen."""
        if table not in self._shapes:
            return self.again(connection, table)
        return self._shapes[table]

    def again(self, connection: Connection, table: str) -> Shape:
        """The table's shape as the catalogue says now."""
        shape = self._read(connection, table, self.use(table).key)
        self._shapes[table] = shape
        return shape

    def fitting(self, connection: Connection, table: str, names: Sequence[str]) -> Shape:
        """The shape whose columns are `names`, as a result had them."""
        shape = self.shape(connection, table)
        if tuple(column.name for column in shape.columns) != tuple(names):
            shape = self.again(connection, table)
        if tuple(column.name for column in shape.columns) != tuple(names):
            raise ConfigurationError(
                f"table {table!r} gives the columns {', '.join(names)}, but its catalogue says "
                + ", ".join(column.name for column in shape.columns)
            )
        return shape

    def key(self, connection: Connection, table: str) -> tuple[str, ...]:
        """The columns that tell rows apart; raises ConfigurationError when there are none."""
        key = tuple(column.name for column in self.shape(connection, table).columns if column.key)
        if not key:
            raise ConfigurationError(no_key(table))
        return key


def no_key(table: str) -> str:
    """The message for a table whose rows can't be told apart."""
    return (
        f"table {table!r} has no primary key: declare one, or a unique index over columns that "
        f"are never null (CREATE UNIQUE INDEX ... ON {table} (...)), and name these columns as "
        "the entity's `key:`"
    )
