"""Tables in key-ordered chunks, each read by one statement."""

from __future__ import annotations

from typing import Any

import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import Chunk, Condition, System
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.read.key_values import pack_value, unpack_value
from connectors.sql.read.query import Query, rows_where, sorts_after, value_condition
from connectors.sql.read.rows import TableShapes, identifiers_of, run_query, seen_expression
from connectors.sql.sqlite.stored_text import statement_for
from connectors.sql.threads import ConnectionThreads


class SqlSnapshot:
    """`bridge.connector.Snapshot` over SQLAlchemy, on a connection of its own."""

    def __init__(self, system: System, dialect: SqlDialect | None = None) -> None:
        engine = make_engine(system, part="snapshot")
        self._dialect = dialect or dialect_of(engine.dialect.name)
        self._threads = ConnectionThreads(engine, 1, "snapshot")
        self._tables = TableShapes(system.tables, self._dialect)
        self._where = f"system {system.name!r}: snapshot"
        isolation = self._dialect.isolation
        self._options = {"isolation_level": isolation} if isolation else {}

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted."""

        def act(connection: Connection) -> int:
            self._tables.use(table)
            names = identifiers_of(connection)
            condition = value_condition(self._dialect, names, where or {})
            text = f"SELECT count(*) FROM {names.table(table)} r"
            if condition.text:
                text += f" WHERE {condition.text}"
            statement = statement_for(text, condition.parameters)
            return int(connection.execute(statement, condition.parameters).scalar_one())

        with translating_errors(f"{self._where} of table {table!r}"):
            return await self._threads.run(act, **self._options)

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`."""

        def act(connection: Connection) -> Chunk:
            try:
                return self._read(connection, table, where, after, limit)
            except sa_exc.DBAPIError:
                # The cause may be that the table has another shape by now.
                if connection.in_transaction():
                    connection.rollback()
                if not self._tables.changed(connection, table):
                    raise
                return self._read(connection, table, where, after, limit)

        with translating_errors(f"{self._where} of table {table!r}"):
            return await self._threads.run(act, **self._options)

    def _read(
        self,
        connection: Connection,
        table: str,
        where: Condition | None,
        after: list[Any] | None,
        limit: int,
    ) -> Chunk:
        names = identifiers_of(connection)
        key = self._tables.key(connection, table)
        conditions: list[Query] = [value_condition(self._dialect, names, where or {})]
        if after:
            start_key, values = self._resumed(connection, table, after)
            # A job continues in the order in which it started; of another key it starts again.
            if set(start_key) == set(key):
                key = start_key
                conditions.append(sorts_after(self._dialect, names, key, values))
        only = self._tables.only(connection, table)
        query = rows_where(
            self._dialect,
            names,
            table,
            conditions,
            order=key,
            limit=limit,
            only=only,
            seen=seen_expression(connection, self._dialect),
        )
        result = run_query(connection, self._dialect, query)
        shape = self._tables.fitting(connection, table, result)
        last = None
        if len(result.rows) == limit:
            row = dict(zip(result.names, result.rows[-1], strict=True))
            last = [{"column": name, "value": pack_value(row[name])} for name in key]
        return Chunk(shape, result.rows, last, result.visibility)

    def _resumed(
        self, connection: Connection, table: str, after: list[Any]
    ) -> tuple[tuple[str, ...], list[Any]]:
        """The columns and values after which a chunk begins. An earlier release wrote the values
        alone, in the table's order.
        """
        if isinstance(after[0], dict):
            values = [unpack_value(part["value"]) for part in after]
            return tuple(part["column"] for part in after), values
        key = set(self._tables.key(connection, table))
        columns = self._tables.shape(connection, table).columns
        names = tuple(column.name for column in columns if column.name in key)
        return names[: len(after)], [unpack_value(value) for value in after]

    async def close(self) -> None:
        """Wait for a running statement and close the connection."""
        await self._threads.close()
