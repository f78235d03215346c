"""The catalogue: tables by their configured names, their columns and types.

Reads pg_catalog only, for which every login has the right; values go as bound parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString

import psycopg

from bridge.connector import Column, Shape
from bridge.plan.steps import Wire
from connectors.postgres.catalog.types import DecodedType, TypeRow, decode, missing

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

CANDIDATES: LiteralString = """
    SELECT n.nspname, c.relname, c.oid, c.relkind::text, c.relreplident::text,
           c.relpersistence::text, c.reltuples::float8, c.relispartition,
           array_position(current_schemas(false), n.nspname),
           has_schema_privilege(n.oid, 'USAGE'),
           has_table_privilege(c.oid, 'SELECT'),
           c.relrowsecurity AND row_security_active(c.oid),
           c.relkind IN ('r', 'f') AND EXISTS (
               SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE lower(c.relname) = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT LIKE 'pg\\_temp\\_%%' AND n.nspname NOT LIKE 'pg\\_toast%%'
     ORDER BY 9 NULLS LAST, 1, 2
"""
COLUMNS: LiteralString = """
    SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod,
           format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
           coalesce(array_position((p.indkey::int2[])[0:p.indnkeyatts - 1], a.attnum), 0),
           coalesce(a.attnum = ANY((r.indkey::int2[])[0:r.indnkeyatts - 1]), false),
           a.atttypid = ANY('{text,varchar,name}'::regtype[])
           AND coalesce((to_jsonb(c)->>'collisdeterministic')::bool, true)
      FROM pg_catalog.pg_attribute a
      LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
      LEFT JOIN pg_catalog.pg_index p ON p.indrelid = a.attrelid AND p.indisprimary
      LEFT JOIN pg_catalog.pg_index r ON r.indrelid = a.attrelid AND r.indisreplident
     WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attrelid, a.attnum
"""
TYPES: LiteralString = """
    SELECT t.oid, n.nspname, t.typname, t.typtype::text, t.typbasetype, t.typtypmod,
           CASE WHEN e.typarray = t.oid THEN e.oid
                ELSE coalesce(r.rngsubtype, m.rngsubtype, 0) END,
           coalesce(e.typdelim::text, ',')
      FROM pg_catalog.pg_type t
      LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
      JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
      LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
     WHERE t.oid = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column as pg_attribute has it. `primary`: its place in the primary key's index, from 1 (0:
    not part of it); `identity`: part of the index that is the replica identity. Columns that an
    index only carries along (INCLUDE) are part of neither. `exact_text`: of a text whose collation
    takes no two different values for the same (PostgreSQL before 12 has no other).
    """

    name: str
    oid: int
    typmod: int
    native: str
    not_null: bool
    generated: bool
    primary: int
    identity: bool
    exact_text: bool = False


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table as pg_class has it, and how the configuration names it. `attributes` may be a part of
    its columns; `primary_key` is as `primary_key_of` has it. `inherited`: other tables inherit from
    it, whose rows are not its own.
    """

    configured: str
    schema: str
    name: str
    oid: int
    kind: str
    replica_identity: str
    persistence: str
    estimate: float
    partition: bool
    on_path: bool
    schema_granted: bool
    granted: bool
    rows_hidden: bool
    inherited: bool
    attributes: tuple[CatalogColumn, ...] = field(default=())
    primary_key: tuple[str, ...] = field(default=())

    @property
    def quoted(self) -> str:
        """The name for SQL."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    def as_(self, configured: str) -> CatalogTable:
        """The same under its configured name."""
        return replace(self, configured=configured)

    def with_(self, attributes: tuple[CatalogColumn, ...]) -> CatalogTable:
        """The same with all its columns."""
        return replace(self, attributes=attributes, primary_key=primary_key_of(attributes))

    def only(self, attributes: tuple[CatalogColumn, ...]) -> CatalogTable:
        """The same with a part of its columns; its key stays what it is."""
        return replace(self, attributes=attributes)


def primary_key_of(attributes: Iterable[CatalogColumn]) -> tuple[str, ...]:
    """The primary key's columns in the order of its index. None where one of them is generated:
    the stream doesn't send it, and rows that differ in nothing else would be taken for one.
    """
    key = sorted(
        (column for column in attributes if column.primary), key=lambda column: column.primary
    )
    if any(column.generated for column in key):
        return ()
    return tuple(column.name for column in key)


def quote(name: str) -> str:
    """An identifier for SQL, quoted always."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string for SQL, independent of `standard_conforming_strings`."""
    escaped = text.replace("'", "''")
    return f"E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"


def split_name(configured: str) -> tuple[str, str]:
    """`schema.table` -> (schema, table); no schema: looked for along the search path."""
    schema, dot, name = configured.partition(".")
    return (schema, name) if dot else ("", schema)


def choose(
    configured: str, candidates: Sequence[CatalogTable]
) -> tuple[CatalogTable | None, list[CatalogTable]]:
    """The table that `configured` names exactly, and those of the name in any schema and case,
    for a hint.
    """
    schema, name = split_name(configured)
    near = [table for table in candidates if table.name.lower() == name.lower()]
    for table in near:
        at_home = table.schema == schema if schema else table.on_path
        if at_home and table.name == name:
            return table, near
    return None, near


def wanted(names: Iterable[str]) -> list[str]:
    """The parameter of CANDIDATES: names without schema, in lower case."""
    return sorted({split_name(name)[1].lower() for name in names})


def tables_of(rows: Iterable[Sequence[Any]]) -> list[CatalogTable]:
    """The result of CANDIDATES."""
    return [
        CatalogTable(
            configured="", schema=row[0], name=row[1], oid=row[2], kind=row[3],
            replica_identity=row[4], persistence=row[5], estimate=row[6], partition=row[7],
            on_path=row[8] is not None, schema_granted=row[9], granted=row[10],
            rows_hidden=row[11], inherited=row[12],
        )
        for row in rows
    ]  # fmt: skip


def attributes_of(rows: Iterable[Sequence[Any]]) -> dict[int, tuple[CatalogColumn, ...]]:
    """The result of COLUMNS: each table's columns, in table order."""
    by_table: dict[int, list[CatalogColumn]] = {}
    for oid, *rest in rows:
        by_table.setdefault(oid, []).append(CatalogColumn(*rest))
    return {oid: tuple(columns) for oid, columns in by_table.items()}


def types_of(rows: Iterable[Sequence[Any]]) -> dict[int, TypeRow]:
    """The result of TYPES, by oid."""
    return {row[0]: TypeRow(*row) for row in rows}


def column_of(attribute: CatalogColumn, types: Mapping[int, TypeRow], key: Sequence[str]) -> Column:
    """A column whose types are known; `key` are the primary key's."""
    decoded = decode(attribute.oid, attribute.typmod, types)
    return Column(
        name=attribute.name,
        native=attribute.native,
        type=decoded.type,
        wire=decoded.wire,
        nullable=not attribute.not_null,
        key=attribute.name in key,
        exact_text=attribute.exact_text,
    )


class Catalog:
    """Reads the catalogue over one connection, and keeps the types that it has seen."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._types: dict[int, TypeRow] = {}

    async def candidates(self, names: Iterable[str]) -> list[CatalogTable]:
        """Every table, view or foreign table of one of these names, in any schema and case."""
        cursor = await self._connection.execute(CANDIDATES, [wanted(names)])
        return tables_of(await cursor.fetchall())

    async def attributes(self, oids: Sequence[int]) -> dict[int, tuple[CatalogColumn, ...]]:
        """The columns of tables, in table order."""
        cursor = await self._connection.execute(COLUMNS, [list(oids)])
        return attributes_of(await cursor.fetchall())

    async def learn(self, oids: set[int]) -> None:
        """Load these types and the types that they consist of."""
        while unknown := missing(self._types, oids):
            cursor = await self._connection.execute(TYPES, [sorted(unknown)])
            loaded = types_of(await cursor.fetchall())
            if not loaded:
                return
            self._types |= loaded

    def decoded(self, oid: int, typmod: int) -> DecodedType:
        """How values of a learned type are decoded."""
        return decode(oid, typmod, self._types)

    async def native_names(self, types: Sequence[tuple[int, int]]) -> list[str]:
        """`numeric(15,2)` and the like for (oid, typmod) pairs; `???` for a dropped type."""
        cursor = await self._connection.execute(
            "SELECT format_type(o, m) FROM unnest(%s::oid[], %s::int4[]) WITH ORDINALITY"
            " AS asked(o, m, n) ORDER BY n",
            [[oid for oid, _ in types], [typmod for _, typmod in types]],
        )
        return [row[0] for row in await cursor.fetchall()]

    def shape(self, table: CatalogTable, columns: Sequence[CatalogColumn], wire: Wire) -> Shape:
        """The shape of learned columns; `table.replica_identity` says whether old rows are whole."""
        return Shape(
            table.configured,
            tuple(column_of(attribute, self._types, table.primary_key) for attribute in columns),
            wire,
            "full" if table.replica_identity == "f" else "none",
        )


def all_binary(decoded: Iterable[DecodedType]) -> bool:
    """Whether a stream of these columns may be asked for binary values."""
    return all(item.binary for item in decoded)
