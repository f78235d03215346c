"""The configured tables as capture sees them: their published columns and row filters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from bridge.connector import Shape, System
from bridge.plan.steps import Wire
from connectors.postgres.capture.relation_shapes import find_tables
from connectors.postgres.catalog.tables import Catalog, CatalogColumn, CatalogTable, Connection
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of
from connectors.postgres.transport.copy_connection import connect

#: From this version on publications have column lists and row filters.
_COLUMN_LISTS_VERSION = 150000
_GENERATED_COLUMNS_VERSION = 180000

_PUBLISHED: LiteralString = """
    SELECT schemaname, tablename, to_json(attnames::text[]), rowfilter
      FROM pg_catalog.pg_publication_tables WHERE pubname = %s
"""
_PUBLISHED_14: LiteralString = """
    SELECT schemaname, tablename, NULL::json, NULL::text
      FROM pg_catalog.pg_publication_tables WHERE pubname = %s
"""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication has of one table; `columns` None: all but generated ones."""

    columns: frozenset[str] | None = None
    filter: str | None = None

    def of(self, table: CatalogTable) -> tuple[CatalogColumn, ...]:
        """The columns that the stream has, in table order."""
        if self.columns is None:
            return tuple(column for column in table.attributes if not column.generated)
        return tuple(column for column in table.attributes if column.name in self.columns)


def published_sql(version: int) -> LiteralString:
    """The statement that says what a publication (its parameter) holds."""
    return _PUBLISHED if version >= _COLUMN_LISTS_VERSION else _PUBLISHED_14


def published_of(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], Published]:
    """Its result, by schema and table; a connection may hand JSON over as its text."""
    return {
        (schema, table): Published(
            None
            if names is None
            else frozenset(json.loads(names) if isinstance(names, str) else names),
            condition,
        )
        for schema, table, names, condition in rows
    }


async def published(connection: Connection, publication: str) -> dict[tuple[str, str], Published]:
    """What is published, by schema and table. Raises psycopg.Error."""
    statement = published_sql(connection.info.server_version)
    cursor = await connection.execute(statement, [publication])
    return published_of(await cursor.fetchall())


def sent(
    table: CatalogTable, published_tables: Mapping[tuple[str, str], Published], version: int
) -> CatalogTable:
    """The table with only the columns that the stream has (all, where it isn't published)."""
    attributes = published_tables.get((table.schema, table.name), Published()).of(table)
    if (
        version < _GENERATED_COLUMNS_VERSION
    ):  # lists name generated columns too, which are never sent
        attributes = tuple(column for column in attributes if not column.generated)
    return table.only(attributes)


async def describe(system: System) -> dict[str, Shape]:
    """As `bridge.connector.Connector.describe`."""
    connection = await connect(system, "describe")
    try:
        catalog = Catalog(connection)
        tables = await find_tables(system, catalog)
        try:
            published_tables = await published(connection, options_of(system).publication)
        except psycopg.Error as error:
            raise translate_error(error, system, "cannot read the publication") from None
        version = connection.info.server_version
        sent_tables = [sent(table, published_tables, version) for table in tables]
        return {
            table.configured: catalog.shape(table, table.attributes, Wire.PGOUTPUT)
            for table in sent_tables
        }
    finally:
        await connection.close()
