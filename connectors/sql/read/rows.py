"""Converts a result to raw rows of a Shape, with the visibility of their statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection, CursorResult

from bridge.connector import Shape, TableUse, Visibility
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.sql.dialect import Inheritance, SqlDialect
from connectors.sql.read.query import Identifiers, Query
from connectors.sql.running_statement import raise_if_interrupted
from connectors.sql.schema.tables import read_table
from connectors.sql.sqlite.stored_text import statement_for

Selected = tuple[str, ...] | None
"""Columns that a statement selects by name; None: all there are."""


def identifiers_of(connection: Connection) -> Identifiers:
    """How this database's names are quoted."""
    preparer = connection.dialect.identifier_preparer
    first, last = preparer.initial_quote, preparer.final_quote

    def quote(name: str) -> str:
        # Not `quote_identifier`: that doubles a `%` for some drivers, and `text()` does so again.
        return f"{first}{name.replace(last, last * 2)}{last}"

    return Identifiers(quote)


@dataclass(slots=True)
class QueryResult:
    """Names and tuples of one result. `types`: other signs of another shape of the table. `server`: as
    `bridge.connector.Rows.server`.
    """

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    visibility: Visibility | None
    types: tuple[Any, ...] = ()
    server: str = ""


def run_query(connection: Connection, dialect: SqlDialect, query: Query) -> QueryResult:
    """All rows of `query` as the driver gives them. Raises RetryLater if nobody waits for them."""
    raise_if_interrupted()
    result = connection.execute(statement_for(query.text, query.parameters), query.parameters)
    names = tuple(result.keys())
    types = _types(connection, dialect, result)
    rows = [tuple(row) for row in result]
    if dialect.seen is None:
        return QueryResult(names, rows, None, types, _server(connection, dialect, None))
    visibility = dialect.seen.read(rows[0][0])
    kept = [row[2:] for row in rows if row[1] is not None]
    server = _server(connection, dialect, visibility)
    types = types if dialect.revision else types[2:]
    return QueryResult(names[2:], kept, visibility, types, server)


def seen_expression(connection: Connection, dialect: SqlDialect) -> str:
    """What `rows_where` takes as `seen` on this connection."""
    return dialect.seen.selected_by(connection) if dialect.seen else ""


def _server(connection: Connection, dialect: SqlDialect, visibility: Visibility | None) -> str:
    return dialect.server(connection, visibility) if dialect.server else ""


def _types(
    connection: Connection, dialect: SqlDialect, result: CursorResult[Any]
) -> tuple[Any, ...]:
    """A value that changes with the types of the table's columns."""
    if dialect.revision:
        # A file that was put in the database's place counts its own revisions.
        revision = connection.exec_driver_sql(dialect.revision).scalar()
        return (revision, _server(connection, dialect, None))
    return tuple(tuple(column[1:6]) for column in result.cursor.description or ())


class TableShapes:
    """The Shapes that one part (a Reader, a Writer, a Snapshot) works with.

    A new Shape is made when a result has other columns, or other types, than the previous one. May be
    used by several threads: a statement that began before a change may end after it was noticed.
    """

    def __init__(self, uses: Sequence[TableUse], dialect: SqlDialect) -> None:
        self._dialect = dialect
        self._read = dialect.table or self._inspected
        self._uses = {use.table: use for use in uses}
        self._shapes: dict[str, Shape] = {}
        #: By table and selected columns: names and types of results, and the shape that was proved
        #: to be theirs.
        self._proved: dict[tuple[str, Selected], tuple[tuple[Any, ...], Shape]] = {}
        self._inheritance: dict[str, Inheritance] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    def _inspected(self, connection: Connection, table: str, declared: Sequence[str]) -> Shape:
        catalog = read_table(connection, table, declared)
        self._keys[table] = catalog.identity(declared)
        return catalog.shape()

    def use(self, table: str) -> TableUse:
        """The configured use of a table; raises ConfigurationError for others."""
        if table not in self._uses:
            configured = ", ".join(sorted(self._uses)) or "none"
            raise ConfigurationError(f"table {table!r} is not configured (known: {configured})")
        return self._uses[table]

    def shape(self, connection: Connection, table: str) -> Shape:
        """The table's shape as last seen."""
        if table not in self._shapes:
            return self.read_again(connection, table)
        return self._shapes[table]

    def read_again(self, connection: Connection, table: str) -> Shape:
        """The table's shape by the catalogue now; the same object if it hasn't changed."""
        shape = self._read(connection, table, self.use(table).key)
        if self._dialect.inheritance is not None:
            self._inheritance[table] = self._dialect.inheritance(connection, table)
        last = self._shapes.get(table)
        if last is not None and last.columns == shape.columns:
            return last
        self._shapes[table] = shape
        # A copy: several threads read.
        for proof in [proof for proof in list(self._proved) if proof[0] == table]:
            self._proved.pop(proof, None)
        return shape

    def last(self, table: str) -> Shape | None:
        """The table's shape as last seen; None if it wasn't read yet."""
        return self._shapes.get(table)

    def changed(self, connection: Connection, table: str) -> bool:
        """Whether the table's shape has changed, so that a statement that failed because of it can be
        retried.
        """
        last = self._shapes.get(table)
        return self.read_again(connection, table) is not last

    def only(self, connection: Connection, table: str) -> bool:
        """Whether the query has to select only the table's own rows."""
        return self._inherits(connection, table).possible

    def inherited(self, connection: Connection, table: str) -> bool:
        """Whether a statement that names the table reaches rows that are not its own."""
        return self._inherits(connection, table).present

    def _inherits(self, connection: Connection, table: str) -> Inheritance:
        self.shape(connection, table)
        return self._inheritance.get(table, Inheritance())

    def fitting(self, connection: Connection, table: str, result: QueryResult) -> Shape:
        """The shape of the rows of a result. The transaction that read them is still open, so that the
        table can't change before its catalogue is read.
        """
        shape = self._of_result(table, result)
        if shape is None:
            shape = self.read_again(connection, table)
            if _names(shape) != result.names:
                raise self.being_changed(table, result)
            self._prove(table, result, shape)
        return shape

    def fitting_between(
        self,
        connection: Connection,
        table: str,
        before: Shape | None,
        result: QueryResult,
        selected: Selected = None,
    ) -> Shape | None:
        """The shape of the rows of a statement that was a transaction of its own. `before`: as the
        catalogue had it just before the statement (None: it wasn't read). None if the catalogue has to
        be read on both sides of the statement, or changed between: then the rows are read again.
        `selected`: the columns that were selected by name (None: all there are).
        """
        shape = self._of_result(table, result, selected)
        if shape is not None:
            return shape
        after = self.read_again(connection, table)
        if after is not before or (selected or _names(after)) != result.names:
            return None
        self._prove(table, result, after, selected)
        return after

    def being_changed(self, table: str, result: QueryResult) -> RetryLater:
        """The error for rows whose shape can't be proved."""
        shape = self._shapes.get(table)
        return RetryLater(
            f"table {table!r} returns the columns {', '.join(result.names)}, but its catalogue "
            f"says {', '.join(_names(shape) if shape else ())}: it is being changed"
        )

    def _of_result(
        self, table: str, result: QueryResult, selected: Selected = None
    ) -> Shape | None:
        proved = self._proved.get((table, selected))
        if proved is not None and proved[0] == (result.names, result.types):
            return proved[1]
        return None

    def _prove(
        self, table: str, result: QueryResult, shape: Shape, selected: Selected = None
    ) -> None:
        self._proved[table, selected] = (result.names, result.types), shape

    def key(self, connection: Connection, table: str) -> tuple[str, ...]:
        """The columns that identify rows, in the order of their index if known; raises ConfigurationError
        if there are none.
        """
        columns = self.shape(connection, table).columns
        key = self._keys.get(table) or tuple(column.name for column in columns if column.key)
        if not key:
            raise ConfigurationError(no_key(table))
        return key


def _names(shape: Shape) -> tuple[str, ...]:
    return tuple(column.name for column in shape.columns)


def no_key(table: str) -> str:
    """The message for a table whose rows can't be identified."""
    return (
        f"table {table!r} has no primary key: declare one, or a unique index over columns that "
        f"are never null (CREATE UNIQUE INDEX ... ON {table} (...)), and name these columns as "
        "the entity's `key:`"
    )
