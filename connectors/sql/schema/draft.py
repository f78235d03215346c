"""A system file from a database's catalogue: every table with a key, its columns and relations."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.engine.reflection import Inspector

from bridge.connector import Shape, System, TableUse
from bridge.model.errors import ConfigurationError
from bridge.model.names import as_name
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.schema.tables import split_table
from connectors.sql.write.ledger import LEDGER_TABLE as LEDGER

Describe = Callable[[System], Awaitable[Mapping[str, Shape]]]
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of one column: `column` of `table` holds the key of `other`."""

    table: str
    column: str
    other: str
    target: str


async def draft(system: System, describe: Describe) -> str:
    """As `bridge.connector.Drafts.draft`; `describe` as the connector's own."""
    names, references = await asyncio.to_thread(_catalogue, system)
    if not names:
        raise ConfigurationError(f"system {system.name!r}: {system.shown_url} has no tables")
    uses = tuple(TableUse(name) for name in names)
    return written(await describe(replace(system, tables=uses)), references)


def _catalogue(system: System) -> tuple[list[str], list[Reference]]:
    engine = make_engine(system, part="draft")
    try:
        with translating_errors(f"system {system.name!r}"), engine.connect() as connection:
            inspector = sa.inspect(connection)
            names = [use.table for use in system.tables] or sorted(
                name for name in inspector.get_table_names() if not _own(name)
            )
            return names, _references(inspector, names, _search_path(connection))
    finally:
        engine.dispose()


def _references(
    inspector: Inspector, names: Sequence[str], path: Sequence[str | None]
) -> list[Reference]:
    """The foreign keys between these tables, which may be named with or without their schema, independent
    of the names in the foreign keys. Those of a missing table are left out: `describe` reports it, with
    similar names.
    """

    def locate(name: str) -> tuple[str | None, str] | None:
        schema, table = split_table(name)
        for candidate in (schema,) if schema else path:
            if inspector.has_table(table, schema=candidate):
                return candidate, table
        return None

    names_by_table = {located: name for name in names if (located := locate(name)) is not None}
    references: list[Reference] = []
    for (schema, table), name in names_by_table.items():
        for key in inspector.get_foreign_keys(table, schema=schema):
            columns, targets = key["constrained_columns"], key["referred_columns"]
            target_schema, target_table = key["referred_schema"], key["referred_table"]
            target = (target_schema, target_table) if target_schema else locate(target_table)
            if len(columns) == len(targets) == 1 and target in names_by_table:
                references.append(Reference(name, columns[0], names_by_table[target], targets[0]))
    return references


def _search_path(connection: Connection) -> Sequence[str | None]:
    """Where a table without a schema is searched for."""
    if connection.dialect.name == "postgresql":
        # Not as one array, which connections of ours read as the server's text.
        query = sa.text("SELECT unnest(current_schemas(false))")
        return list(connection.execute(query).scalars())
    return [connection.dialect.default_schema_name]


def _own(table: str) -> bool:
    """Whether the bridge made it."""
    return table == LEDGER or table.startswith("bridge_")


def written(shapes: Mapping[str, Shape], references: Sequence[Reference]) -> str:
    """The file from `entities:` on. Pure."""
    entities: dict[str, str] = {}
    for table, shape in shapes.items():
        if any(column.key for column in shape.columns):
            entities[table] = as_name(split_table(table)[1], entities.values())
    left_out = [table for table in shapes if table not in entities]
    if not entities:
        raise ConfigurationError(
            f"no table has a primary key: {', '.join(left_out)}. Declare their keys by hand, as "
            "docs/configuration.md says"
        )
    fields = {table: _fields(shapes[table]) for table in entities}
    lines = [
        "# limits: {connections: 4, queries_per_second: 50}   # of all reads together",
        "entities:",
    ]
    for table, entity in entities.items():
        lines += _entity(entity, shapes[table], fields[table])
        lines += _relations(table, entities, fields, references, shapes)
    lines += [f"  # {table}: left out, because it has no primary key" for table in left_out]
    lines += [
        "# commands:   # what agents may do: docs/configuration.md",
    ]
    return "\n".join(lines) + "\n"


def _fields(shape: Shape) -> dict[str, str]:
    """Field name by column."""
    names: dict[str, str] = {}
    for column in shape.columns:
        names[column.name] = as_name(column.name, names.values())
    return names


def _entity(entity: str, shape: Shape, fields: Mapping[str, str]) -> Iterator[str]:
    keys = [fields[column.name] for column in shape.columns if column.key]
    yield f"  {entity}:"
    yield f"    from: {_text(shape.table)}"
    yield f"    key: {keys[0] if len(keys) == 1 else '[' + ', '.join(keys) + ']'}"
    yield "    fields:"
    wide = max(len(f"{fields[column.name]}: {_text(column.name)}") for column in shape.columns)
    for column in shape.columns:
        remarks = [column.native or str(column.type)]
        remarks += ["key"] if column.key else ["may be null"] if column.nullable else []
        line = f"{fields[column.name]}: {_text(column.name)}"
        yield f"      {line:{wide}}   # {', '.join(remarks)}".replace("\n", " ")


def _relations(
    table: str,
    entities: Mapping[str, str],
    fields: Mapping[str, Mapping[str, str]],
    references: Sequence[Reference],
    shapes: Mapping[str, Shape],
) -> Iterator[str]:
    """To-one relations for the table's own foreign keys, to-many for those of other tables that refer to
    it.
    """
    lines: list[str] = []
    names: set[str] = set()
    for reference in references:
        if reference.other not in entities or reference.table not in entities:
            continue
        if [column.name for column in shapes[reference.other].columns if column.key] != [
            reference.target
        ]:
            continue
        if reference.table == table:
            stem = re.sub(r"_(id|no|nr|key|code)$", "", fields[table][reference.column])
            name = as_name(stem, names)
            names.add(name)
            field = fields[table][reference.column]
            lines.append(f"      {name}: {{entity: {entities[reference.other]}, from: {field}}}")
        if reference.other == table:
            name = as_name(entities[reference.table], names)
            names.add(name)
            field = fields[reference.table][reference.column]
            lines.append(f"      {name}: {{entity: {entities[reference.table]}, by: {field}}}")
    if lines:
        yield "    relations:"
        yield from lines


def _text(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
