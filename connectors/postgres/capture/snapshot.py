"""Tables in key-ordered chunks, by COPY in binary.

A chunk is one REPEATABLE READ transaction: the table is locked against changes of its shape
first, then one snapshot serves the visibility, the columns and the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from bridge.connector import Chunk, Condition, Shape, System
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.plan.steps import Wire
from connectors.postgres.capture.chunk_order import chunk_order
from connectors.postgres.capture.chunk_query import (
    behind_text,
    chunk_text,
    column_text,
    condition_text,
    copy_text,
    from_text,
    is_utf8,
)
from connectors.postgres.capture.relation_shapes import chosen_tables
from connectors.postgres.catalog.publication import Published, published, sent
from connectors.postgres.catalog.table_defects import missing_grants
from connectors.postgres.catalog.tables import Catalog, CatalogColumn, CatalogTable, literal
from connectors.postgres.catalog.types import TEXT_WIRES
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of
from connectors.postgres.protocol.copy_rows import rows_of, values_of
from connectors.postgres.protocol.pg_snapshot import PgSnapshot, parse_snapshot
from connectors.postgres.transport.copy_connection import CopyConnection
from connectors.sql.postgres.session_settings import SET_NO_ENCODING

#: A chunk ends early when its rows hold so many bytes: memory is bounded by it.
CHUNK_BYTES = 16 << 20
_FRAMES_PER_TAKE = 5000
#: The oid of text[], to which arrays without a binary form are cast.
_TEXT_ARRAY = 1009
_INSUFFICIENT_PRIVILEGE = "42501"
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class _View:
    """What one transaction sees of the table."""

    table: CatalogTable
    shape: Shape
    columns: tuple[str, ...]
    visibility: PgSnapshot


class PostgresSnapshot:
    """`bridge.connector.Snapshot` on a connection of its own."""

    def __init__(self, system: System, link: CopyConnection) -> None:
        self._system = system
        self._keys = {use.table: use.key for use in system.tables}
        self._shapes: dict[str, Shape] = {}
        self._set(link)

    @classmethod
    async def open(cls, system: System) -> PostgresSnapshot:
        """Connect; errors as in `connect`."""
        return cls(system, await CopyConnection.open(system, "snapshot", patient=True))

    def _set(self, link: CopyConnection) -> None:
        self._link = link
        self._catalog = Catalog(link.connection)
        self._tables: dict[str, CatalogTable] = {}
        self._published: dict[tuple[str, str], Published] = {}

    async def count(self, table: str, where: Condition | None) -> int:
        """The planner's estimate, which costs no reading."""
        await self._ready()
        catalog_table = await self._find(table)
        # What can't be sent to the planner as UTF-8 counts as any value.
        estimated = {column: value for column, value in (where or {}).items() if is_utf8(value)}
        conditions = [condition_text(estimated), self._filter(catalog_table) or ""]
        filters = " AND ".join(f"({condition})" for condition in conditions if condition)
        statement = f"SELECT FROM {from_text(catalog_table)}" + (
            f" WHERE {filters}" if filters else ""
        )
        try:
            [[plan]] = await self._link.rows(f"EXPLAIN (FORMAT JSON) {statement}")
        except psycopg.Error as error:
            raise self._failed(error, table, self._tables.pop(table, None)) from None
        return int(plan[0]["Plan"]["Plan Rows"])

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`; fewer rows than `limit` where they are wide."""
        await self._ready()
        if after is None:
            # The name may lead to another table than it did for the job before.
            self._tables.pop(table, None)
        was_looked_up = table in self._tables
        catalog_table = await self._find(table)
        try:
            view = await self._begin(catalog_table)
            key, values = chunk_order(
                view.table, self._keys.get(view.table.configured, ()), after, self._system_text
            )
            columns = view.table.attributes
            nullable = {column.name for column in columns if not column.not_null}
            casts = {
                column.name: column.native
                for column in columns
                if not self._catalog.decoded(column.oid, column.typmod).binary
            }
            conditions = [
                self._filter(catalog_table) or "",
                condition_text(where),
                behind_text(key, values, nullable, casts),
            ]
            ties = not nullable.isdisjoint(key)
            if self._link.no_encoding:
                await self._link.rows(SET_NO_ENCODING)
            select = chunk_text(view.table, view.columns, key, conditions, limit, ties=ties)
            rows, cut = await self._copy(copy_text(select), len(view.columns))
            await self._link.rows("ROLLBACK" if cut else "COMMIT")
            last = None
            if rows and (cut or len(rows) >= limit):
                last = await self._last(view, key, rows[-1])
            return Chunk(view.shape, rows, last, view.visibility)
        except psycopg.Error as error:
            failed = self._failed(error, table, self._tables.pop(table, None))
            if was_looked_up and isinstance(failed, ConfigurationError):
                # The cause may be old knowledge of the table, such as its row filter.
                raise RetryLater(str(failed)) from None
            raise failed from None
        except BridgeError:
            # Its lock would keep the table's owner from changing the table.
            await self._ready()
            raise

    async def close(self) -> None:
        """Never raises for a lost connection."""
        await self._link.close()

    # -- one transaction ---------------------------------------------------------------

    async def _begin(self, catalog_table: CatalogTable) -> _View:
        link = self._link
        await link.rows(_BEGIN)
        # A change of the table's shape waits until the rows are read, or is seen whole.
        await link.rows(f"LOCK TABLE {from_text(catalog_table)} IN ACCESS SHARE MODE")
        [[seen, in_recovery, oid]] = await link.rows(
            "SELECT pg_current_snapshot()::text, pg_is_in_recovery(), "
            f"to_regclass({literal(catalog_table.quoted)})::oid::int8"
        )
        if in_recovery:
            # Its rows are older than the watermark that was written on the primary.
            raise RetryLater(
                f"{self._system_text}: the server is a standby: `url` has to lead to the primary"
            )
        attributes = (await self._catalog.attributes([catalog_table.oid])).get(catalog_table.oid)
        if attributes is None or oid != catalog_table.oid:
            self._tables.pop(catalog_table.configured, None)
            raise RetryLater(
                f"{self._system_text}: table {catalog_table.configured!r} was replaced just now"
            )
        await self._catalog.learn({attribute.oid for attribute in attributes})
        table = sent(
            catalog_table.with_(attributes), self._published, link.connection.info.server_version
        )
        return _View(
            table,
            self._shape(table),
            tuple(self._selected(attribute) for attribute in table.attributes),
            parse_snapshot(seen),
        )

    async def _copy(self, statement: str, columns: int) -> tuple[list[bytes], bool]:
        """The rows, and whether they were cut short because they are wide."""
        link = self._link
        await link.start_copy(statement)
        rows: list[bytes] = []
        size, first, cut = 0, True, False
        while True:
            frames: list[memoryview] = []
            goes_on = link.take(frames, _FRAMES_PER_TAKE, CHUNK_BYTES)
            if frames and not cut:
                try:
                    fresh = rows_of(frames, columns, first=first)
                except ValueError as error:
                    raise RetryLater(f"{self._system_text}: {error}") from None
                first = False
                rows += fresh
                size += sum(map(len, fresh))
                if size >= CHUNK_BYTES:
                    cut = True
                    await link.connection.cancel_safe()
            if not goes_on:
                break
            if not frames:
                await link.readable(None)
        try:
            await link.end_copy()
        except psycopg.errors.QueryCanceled:
            if not cut:
                raise
        return rows, cut

    async def _last(self, view: _View, key: tuple[str, ...], row: bytes) -> list[Any]:
        """Each key column's name and text, by PostgreSQL's own conversion from its binary form. Bytes
        of a text that are no UTF-8 are in it as `surrogateescape` has them.
        """
        values = values_of(row)
        names = [attribute.name for attribute in view.table.attributes]
        named_texts: list[list[str | None]] = []
        for name in key:
            at = names.index(name)
            attribute = view.table.attributes[at]
            content = values[at]
            decoded = self._catalog.decoded(attribute.oid, attribute.typmod)
            if content is None:
                named_texts.append([name, None])
            elif decoded.wire in TEXT_WIRES:
                named_texts.append([name, content.decode(errors="surrogateescape")])
            elif decoded.binary:
                named_texts.append([name, await self._text_of(content, attribute.oid)])
            elif decoded.wire.startswith("array"):
                named_texts.append([name, await self._text_of(content, _TEXT_ARRAY)])
            else:
                named_texts.append([name, content.decode(errors="surrogateescape")])
        return named_texts

    async def _text_of(self, content: bytes, oid: int) -> str:
        results = await self._link.converted(content, oid)
        if results.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(results)
        return (results.get_value(0, 0) or b"").decode()

    # -- the table ---------------------------------------------------------------------

    async def _ready(self) -> None:
        """A connection that a cancelled or failed chunk left in the middle is replaced."""
        status = self._link.connection.pgconn.transaction_status
        if status in (TransactionStatus.INERROR, TransactionStatus.INTRANS):
            await self._link.rows("ROLLBACK")
        elif status != TransactionStatus.IDLE:
            await self._link.close()
            self._set(await CopyConnection.open(self._system, "snapshot", patient=True))

    async def _find(self, name: str) -> CatalogTable:
        if name not in self._keys:
            configured = ", ".join(sorted(self._keys)) or "none"
            raise ConfigurationError(
                f"{self._system_text}: table {name!r} is not configured ({configured})"
            )
        if name not in self._tables:
            try:
                tables, missing = await chosen_tables(self._catalog, [name])
                self._published = await published(
                    self._link.connection, options_of(self._system).publication
                )
            except psycopg.Error as error:
                raise self._failed(error, name) from None
            if missing:
                raise ConfigurationError(f"{self._system_text}: {missing[0]}")
            self._tables[name] = tables[0]
        return self._tables[name]

    def _filter(self, table: CatalogTable) -> str | None:
        published_table = self._published.get((table.schema, table.name))
        return published_table.filter if published_table else None

    def _selected(self, attribute: CatalogColumn) -> str:
        return column_text(attribute, self._catalog.decoded(attribute.oid, attribute.typmod))

    def _shape(self, table: CatalogTable) -> Shape:
        """The same object for as long as nothing changes."""
        shape = self._catalog.shape(table, table.attributes, Wire.PGCOPY)
        previous = self._shapes.get(table.configured)
        if (
            previous is not None
            and previous.columns == shape.columns
            and previous.before == shape.before
        ):
            return previous
        self._shapes[table.configured] = shape
        return shape

    @property
    def _system_text(self) -> str:
        return f"system {self._system.name!r} ({self._system.shown_url})"

    def _failed(
        self, error: psycopg.Error, name: str, table: CatalogTable | None = None
    ) -> BridgeError:
        """`table`: as the catalogue has it, which also says which rights are missing."""
        failed = translate_error(error, self._system, f"cannot read table {name!r}")
        role = self._link.connection.info.user
        missing = (
            missing_grants(table, role)
            if table is not None and error.sqlstate == _INSUFFICIENT_PRIVILEGE
            else []
        )
        if not missing:
            return failed
        return ConfigurationError(f"{failed}; run: {'; '.join(missing)}")
