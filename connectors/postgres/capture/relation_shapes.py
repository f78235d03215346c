"""The shape of a relation's rows, from the stream's description and the catalogue's.

The Relation message has the columns as they were when the change was made, which may be long before the
catalogue's current state; the catalogue adds names of types and the primary key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import psycopg

from bridge.connector import Batch, Column, Shape, System
from bridge.model.errors import ConfigurationError
from bridge.plan.steps import Wire
from connectors.postgres import ddl
from connectors.postgres.catalog.table_defects import unidentified_key_text
from connectors.postgres.catalog.tables import (
    Catalog,
    CatalogColumn,
    CatalogTable,
    all_binary,
    choose,
    primary_key_of,
    quote,
)
from connectors.postgres.errors import translate_error
from connectors.postgres.protocol.frames import Frames, RelationMessage


class RelationShapes:
    """Shapes of the configured tables, by relation. Tables that aren't configured have none."""

    def __init__(self, system: System, catalog: Catalog) -> None:
        self._system = system
        self._catalog = catalog
        self.tables: list[CatalogTable] = []
        #: Tables whose deletes don't identify their row, and what fixes that.
        self.troubles: dict[str, str] = {}
        #: Oids of the relations that were last learned under names that aren't configured.
        self.unconfigured: set[int] = set()
        #: Tables of which a part of the primary key is generated, and so isn't sent.
        self._partial: set[str] = set()
        self._keys = {use.table: use.key for use in system.tables}
        self._configured: dict[tuple[str, str], str] = {}
        self._by_relation: dict[RelationMessage, Shape | None] = {}
        self._latest: dict[str, Shape] = {}

    async def load(self) -> bool:
        """Find the configured tables; whether all their columns can be decoded from binary.

        Raises ConfigurationError if none of them exists, RetryLater.
        """
        try:
            tables, missing = await chosen_tables(
                self._catalog, [use.table for use in self._system.tables]
            )
            await self._catalog.learn({each.oid for table in tables for each in table.attributes})
        except psycopg.Error as error:
            raise translate_error(error, self._system, "cannot read the catalogue") from None
        if missing and not tables:
            raise ConfigurationError(f"system {self._system.name!r}: {'; '.join(missing)}")
        self.tables = tables
        self._configured = configured_names(tables)
        return all_binary(
            self._catalog.decoded(attribute.oid, attribute.typmod)
            for table in tables
            for attribute in table.attributes
            if not attribute.generated
        )

    def knows(self, tables: Sequence[CatalogTable]) -> bool:
        """Whether changes of these tables are streamed under their configured names."""
        return configured_names(tables).items() <= self._configured.items()

    async def learn(self, frames: Sequence[memoryview]) -> bool:
        """Prepare `of` for these Relation frames; True when one has a column that can only be
        decoded from text.
        """
        relations: list[RelationMessage] = []

        def collect(relation: RelationMessage) -> None:
            relations.append(relation)

        Frames(collect).feed(frames, Batch([], b"", 0))
        text = False
        self.unconfigured = set()
        for relation in relations:
            if (relation.namespace, relation.name) not in self._configured:
                self._by_relation[relation] = None
                self.unconfigured.add(relation.oid)
                continue
            oids = {column.type_oid for column in relation.columns}
            try:
                await self._catalog.learn(oids)
                if relation not in self._by_relation:
                    self._by_relation[relation] = await self._make(relation)
            except psycopg.Error as error:
                raise translate_error(error, self._system, "cannot read the catalogue") from None
            text = text or not all_binary(
                self._catalog.decoded(column.type_oid, column.typmod) for column in relation.columns
            )
        return text

    def of(self, relation: RelationMessage) -> Shape | None:
        """The shape of a learned relation; the same object for as long as nothing changes."""
        shape = self._by_relation[relation]
        if shape is not None:
            self._judge(relation, shape)
        return shape

    def _judge(self, relation: RelationMessage, shape: Shape) -> None:
        """The replica identity may be another one by now."""
        if shape.table in self._partial:
            self.troubles[shape.table] = (
                f"table {shape.table!r}: a generated column is part of its primary key, which the "
                "stream doesn't send: declare the entity's `key` with other unique columns"
            )
            return
        key = self._keys.get(shape.table) or [column.name for column in shape.columns if column.key]
        identity = {
            column.name for column in relation.columns if column.key or relation.identity == "f"
        }
        missing = [name for name in key if name not in identity]
        if not missing:
            self.troubles.pop(shape.table, None)
            return
        quoted = f"{quote(relation.namespace)}.{quote(relation.name)}"
        self.troubles[shape.table] = (
            f"{unidentified_key_text(shape.table, missing)}; deletes become dead letters: run "
            f"{ddl.identity_full(quoted)}, then compare what they were about: bridgectl "
            "snapshot ENTITY --reconcile"
        )

    async def _make(self, relation: RelationMessage) -> Shape:
        table = self._configured[relation.namespace, relation.name]
        now = {
            attribute.name: attribute
            for attribute in (await self._catalog.attributes([relation.oid])).get(relation.oid, ())
        }
        natives = await self._catalog.native_names(
            [(column.type_oid, column.typmod) for column in relation.columns]
        )
        keys = key_names(relation, now)
        self._partial.discard(table)
        if not self._keys.get(table) and any(
            attribute.primary and attribute.generated for attribute in now.values()
        ):
            self._partial.add(table)
        columns = []
        for column, native in zip(relation.columns, natives, strict=True):
            decoded = self._catalog.decoded(column.type_oid, column.typmod)
            key = column.name in keys
            attribute = now.get(column.name)
            columns.append(
                Column(
                    name=column.name,
                    native=native,
                    type=decoded.type,
                    wire=decoded.wire,
                    nullable=not (key or (attribute is not None and attribute.not_null)),
                    key=key,
                )
            )
        before: Literal["full", "none"] = "full" if relation.identity == "f" else "none"
        shape = Shape(table, tuple(columns), Wire.PGOUTPUT, before)
        latest = self._latest.get(table)
        if latest is not None and latest.columns == shape.columns and latest.before == before:
            return latest
        self._latest[table] = shape
        return shape


def configured_names(tables: Sequence[CatalogTable]) -> dict[tuple[str, str], str]:
    """The configured names of tables by schema and name."""
    return {(table.schema, table.name): table.configured for table in tables}


def key_names(relation: RelationMessage, now: dict[str, CatalogColumn]) -> frozenset[str]:
    """The primary key's columns: as the stream has it with the default replica identity, else as
    the catalogue has them now, else (the table is gone) the replica identity's.
    """
    identity = frozenset(column.name for column in relation.columns if column.key)
    primary = frozenset(primary_key_of(now.values()))
    if relation.identity == "d" and identity:
        # The stream leaves a generated column of the key out, and the rest is no key.
        partial = not primary and any(attribute.primary for attribute in now.values())
        return frozenset() if partial else identity
    if primary and primary <= {column.name for column in relation.columns}:
        return primary
    return identity if relation.identity == "i" else frozenset()


async def find_tables(system: System, catalog: Catalog) -> list[CatalogTable]:
    """The configured tables with their columns, types learned, in configured order.

    Raises ConfigurationError that names every missing table, RetryLater.
    """
    names = [use.table for use in system.tables]
    try:
        tables, missing = await chosen_tables(catalog, names)
        if missing:
            raise ConfigurationError(f"system {system.name!r}: {'; '.join(missing)}")
        oids = {column.oid for table in tables for column in table.attributes}
        await catalog.learn(oids)
    except psycopg.Error as error:
        raise translate_error(error, system, "cannot read the catalogue") from None
    return tables


async def chosen_tables(
    catalog: Catalog, names: Sequence[str]
) -> tuple[list[CatalogTable], list[str]]:
    """The tables that these names mean, with their columns; and of each that isn't there, what to
    say. Raises psycopg.Error.
    """
    candidates = await catalog.candidates(names)
    tables: list[CatalogTable] = []
    missing: list[str] = []
    for name in names:
        table, near = choose(name, candidates)
        if table is None:
            missing.append(absent(name, near))
        else:
            tables.append(table.as_(name))
    attributes = await catalog.attributes([table.oid for table in tables])
    # Two statements see two states of the database: a table may be dropped in between.
    missing += [dropped(table.configured) for table in tables if table.oid not in attributes]
    return [
        table.with_(attributes[table.oid]) for table in tables if table.oid in attributes
    ], missing


def dropped(name: str) -> str:
    """What to say of a table whose columns are gone."""
    return f"table {name!r} does not exist: it was dropped just now, or has no columns"


def absent(name: str, near: Sequence[CatalogTable]) -> str:
    """What to say of a table that isn't there, with what may have been meant."""
    problem = f"table {name!r} does not exist"
    if not near:
        return f"{problem} in this database; correct `from` (schema.table, or a name on the search path)"
    candidates = ", ".join(f"{table.schema}.{table.name}" for table in near[:3])
    closed = [table.schema for table in near if not table.schema_granted]
    grant = f", and run: GRANT USAGE ON SCHEMA {closed[0]} TO the bridge's role" if closed else ""
    return f"{problem} on the search path; write `from: {candidates}`{grant}"
