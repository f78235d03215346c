"""Set-based lookups for the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import Rows, System, distinct_keys
from bridge.model.errors import Rejected
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.postgres.unchecked_text import has_no_encoding, row_columns
from connectors.sql.read.query import Query, key_condition, rows_where
from connectors.sql.read.rows import TableShapes, identifiers_of, run_query, seen_expression
from connectors.sql.threads import ConnectionThreads


class SqlReader:
    """`bridge.connector.Reader` over SQLAlchemy; one statement per call, in a thread of its own. Rows are
    as the driver returns them, in the table's order of columns. A key with a null equals nothing, as in
    SQL.
    """

    def __init__(self, system: System, dialect: SqlDialect | None = None) -> None:
        engine = make_engine(system, system.connections, part="reads")
        self._dialect = dialect or dialect_of(engine.dialect.name)
        self._threads = ConnectionThreads(engine, system.connections, "reader")
        self._tables = TableShapes(system.tables, self._dialect)
        self._where = f"system {system.name!r}: reading"
        isolation = self._dialect.isolation
        self._options = {"isolation_level": isolation} if isolation else {}

    @property
    def max_keys(self) -> int:
        """Maximum keys of one query."""
        return self._dialect.max_keys

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None = None,
    ) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        distinct = distinct_keys(table, columns, keys, self.max_keys)

        def act(connection: Connection) -> Rows:
            with translating_errors(f"{self._where} table {table!r}", "bad_key"):
                try:
                    return self._read(connection, table, columns, distinct, limit)
                except (sa_exc.DBAPIError, Rejected):
                    # The cause may be that the table has another shape by now.
                    if connection.in_transaction():
                        connection.rollback()
                    if not self._tables.changed(connection, table):
                        raise
                    return self._read(connection, table, columns, distinct, limit)

        with translating_errors(self._where):
            return await self._threads.run(act, **self._options)

    def _read(
        self,
        connection: Connection,
        table: str,
        columns: Sequence[str],
        distinct: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> Rows:
        # Columns that are named one by one must be the existing ones.
        fresh = has_no_encoding(connection)
        shape = (self._tables.read_again if fresh else self._tables.shape)(connection, table)
        natives = {column.name: column.native for column in shape.columns}
        for column in columns:
            if column not in natives:
                raise Rejected("bad_key", f"table {table!r} has no column {column!r}")
        names = identifiers_of(connection)
        select = row_columns(connection, names, shape)
        conditions: list[Query] = []
        if columns:
            conditions.append(
                key_condition(
                    self._dialect, names, columns, distinct, [natives[name] for name in columns]
                )
                if distinct
                else Query("1 = 0")
            )
        only = self._tables.only(connection, table)
        query = rows_where(
            self._dialect,
            names,
            table,
            conditions,
            limit=limit,
            only=only,
            select=select,
            seen=seen_expression(connection, self._dialect),
        )
        result = run_query(connection, self._dialect, query)
        shape = self._tables.fitting(connection, table, result)
        return Rows(shape, result.rows, result.visibility, result.server)

    async def close(self) -> None:
        """Wait for running statements and close the connections."""
        await self._threads.close()
