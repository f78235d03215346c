"""Set-based lookups for the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import (
    Ask,
    ColumnOrder,
    ReaderFeatures,
    Rows,
    Shape,
    System,
    distinct_keys,
    refuse_unsupported,
)
from bridge.connector.answer_check import first_repeated
from bridge.connector.ask import OPERATORS, needed_columns, total_order
from bridge.model.errors import DeadlineExceeded, Rejected
from bridge.plan.steps import MISSING
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.postgres.unchecked_text import has_no_encoding, row_columns
from connectors.sql.read.ask_query import AskedTable, AskQuery
from connectors.sql.read.rows import (
    QueryResult,
    Selected,
    TableShapes,
    identifiers_of,
    run_query,
    seen_expression,
)
from connectors.sql.running_statement import is_interrupted
from connectors.sql.threads import ConnectionThreads

MAX_READS: Final = 3
"""How often rows are read whose table is changed meanwhile: each needs the catalogue before and after."""
CATALOGUE_INTERVAL_S: Final = 60.0
"""How often a table's catalogue is read although results show nothing new: what is published of it, its
key and which columns may be null are in no result.
"""


class SqlReader:
    """`bridge.connector.Reader` over SQLAlchemy; one statement per call, in a thread of its own. Rows are
    as the driver returns them, in the table's order of columns. A key with a null equals nothing, as in
    SQL.
    """

    features = ReaderFeatures(
        fields=True,
        where=frozenset(OPERATORS),
        order=True,
        after=True,
        per_key=True,
        nulls=True,
        deadline=True,
    )

    def __init__(
        self,
        system: System,
        dialect: SqlDialect | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        engine = make_engine(system, system.connections, part="reads")
        self._dialect = dialect or dialect_of(engine.dialect.name)
        self._threads = ConnectionThreads(
            engine, system.connections, "reader", self._dialect.interrupt
        )
        self._tables = TableShapes(system.tables, self._dialect)
        self._where = f"system {system.name!r}: reading"
        self._monotonic = monotonic
        self._next_looks: dict[str, float] = {}
        isolation = self._dialect.isolation
        self._options = {"isolation_level": isolation} if isolation else {}

    @property
    def max_keys(self) -> int:
        """Maximum keys of one query."""
        return self._dialect.max_keys

    async def fetch(self, ask: Ask) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        refuse_unsupported(ask, self.features)
        table = ask.table
        ask = ask._replace(keys=distinct_keys(ask, self.max_keys))

        def act(connection: Connection) -> Rows:
            with translating_errors(f"{self._where} table {table!r}", "bad_key"):
                last = self._tables.last(table)
                try:
                    return self._read(connection, ask)
                except (sa_exc.DBAPIError, Rejected):
                    # The cause may be that the table has another shape by now.
                    if is_interrupted():
                        raise
                    if connection.in_transaction():
                        connection.rollback()
                    if self._tables.read_again(connection, table) is last:
                        raise
                    return self._read(connection, ask)

        with translating_errors(self._where):
            try:
                return await self._threads.run(act, ask.deadline, **self._options)
            except DeadlineExceeded as error:
                raise DeadlineExceeded(f"{self._where} table {table!r}: {error}") from None

    def _read(self, connection: Connection, ask: Ask) -> Rows:
        """Rows and the shape that is theirs, though each statement is a transaction of its own."""
        table = ask.table
        # Columns that are named one by one must be the existing ones.
        fresh = self._is_due(table) or has_no_encoding(connection)
        before = self._tables.read_again(connection, table) if fresh else None
        for _ in range(MAX_READS):
            shape = before or self._tables.shape(connection, table)
            order, selected = self._planned(connection, ask, shape)
            result = self._query(connection, ask, shape, order, selected)
            read_shape = self._tables.fitting_between(connection, table, before, result, selected)
            if read_shape is not None:
                rows = widened(read_shape, selected, result.rows)
                return Rows(read_shape, rows, result.visibility, result.server)
            before = self._tables.shape(connection, table)
        raise self._tables.being_changed(table, result)

    def _planned(
        self, connection: Connection, ask: Ask, shape: Shape
    ) -> tuple[tuple[ColumnOrder, ...], Selected]:
        """The order of the answer, and the columns to select by name. Raises Rejected."""
        limits = (ask.fields, ask.after, ask.per_key)
        if not (ask.order or ask.where) and limits == (None, None, None):
            return (), None
        columns = tuple(column.name for column in shape.columns)
        key = self._tables.key(connection, ask.table)
        order = total_order(ask, key)
        selected = needed_columns(ask, columns, key, order)
        # The rank of a row in its key is no column of it.
        return order, selected or (columns if ask.per_key is not None else None)

    def _is_due(self, table: str) -> bool:
        """Whether to read the catalogue for what no result shows: at first, and then now and again."""
        now = self._monotonic()
        due = now >= self._next_looks.get(table, now)
        if due:
            self._next_looks[table] = now + CATALOGUE_INTERVAL_S
        return due

    def _query(
        self,
        connection: Connection,
        ask: Ask,
        shape: Shape,
        order: tuple[ColumnOrder, ...],
        selected: Selected,
    ) -> QueryResult:
        names = identifiers_of(connection)
        table = AskedTable(
            shape,
            order,
            row_columns(connection, names, shape, selected),
            self._tables.only(connection, ask.table),
            seen_expression(connection, self._dialect),
        )
        lateral = self._dialect.lateral and ask.per_key is not None
        query = AskQuery(self._dialect, names, ask, table).build(lateral=lateral)
        result = run_query(connection, self._dialect, query)
        if lateral and _has_repeated(result, self._tables.key(connection, ask.table)):
            # Keys that differ are equal by the column's collation.
            query = AskQuery(self._dialect, names, ask, table).build()
            result = run_query(connection, self._dialect, query)
        return result

    async def close(self) -> None:
        """Wait for running statements and close the connections."""
        await self._threads.close()


def widened(shape: Shape, selected: Selected, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of the selected columns as rows of the shape; the others are MISSING."""
    names = [column.name for column in shape.columns]
    if selected is None or list(selected) == names:
        return rows
    slots = {name: at for at, name in enumerate(selected)}
    slot_of_column = [slots.get(name, len(selected)) for name in names]
    wide = []
    for row in rows:
        padded_row = (*row, MISSING)
        wide.append(tuple([padded_row[slot] for slot in slot_of_column]))
    return wide


def _has_repeated(result: QueryResult, key: Sequence[str]) -> bool:
    slots = [result.names.index(name) for name in key]
    return first_repeated(tuple(row[slot] for slot in slots) for row in result.rows) is not None
