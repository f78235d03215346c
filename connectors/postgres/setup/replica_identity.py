"""Tables: whether each update and delete of theirs can be streamed, and whether they can be read.

PostgreSQL refuses an UPDATE or DELETE in a published table without a usable replica identity, or
whose column list or row filter doesn't cover it: the legacy system's own statement fails. So
such a table is never added to a publication.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.connector import Finding, System, TableUse
from connectors.postgres import ddl
from connectors.postgres.catalog.table_defects import (
    is_logged,
    unidentified_key_text,
    unlogged_text,
)
from connectors.postgres.catalog.tables import CatalogTable, quote
from connectors.postgres.options import options_of
from connectors.postgres.setup.server_inspection import Index, ServerFacts

_TEXTS = re.compile(r"'(?:[^']|'')*'")


def table_findings(facts: ServerFacts, system: System) -> Iterator[Finding]:
    """Findings of all configured tables."""
    publication = options_of(system).publication
    uses = {use.table: use for use in system.tables}
    for table in facts.tables:
        yield from _readable(table, facts)
        if not is_logged(table):
            yield Finding(*unlogged_text(table))
            continue
        if table.kind == "p":
            yield _partitioned(table)
        if table.inherited:
            yield _inherited(table)
        use = uses[table.configured]
        weak = weak_identity(table, facts)
        if weak is not None:
            yield weak
        else:
            yield from _key(table, use, facts)
        yield from _columns(table, use)
        yield from _coverage(table, use, facts, publication)


def _readable(table: CatalogTable, facts: ServerFacts) -> Iterator[Finding]:
    if not table.schema_granted:
        yield Finding(
            f"role {facts.role!r} may not use schema {table.schema!r}",
            ddl.grant_usage(table.schema, facts.role),
        )
    if not table.granted:
        yield Finding(
            f"role {facts.role!r} may not read table {table.configured!r}, which snapshots and "
            "lookups need",
            ddl.grant_select(table.quoted, facts.role),
        )
    if table.rows_hidden:
        yield Finding(
            f"row security hides rows of table {table.configured!r} from role {facts.role!r}: "
            "snapshots would have gaps",
            ddl.bypass_row_security(facts.role),
        )


def _partitioned(table: CatalogTable) -> Finding:
    """https://www.postgresql.org/docs/15/sql-createpublication.html, publish_via_partition_root."""
    return Finding(
        f"table {table.configured!r} is partitioned: PostgreSQL doesn't report when one of its "
        "partitions is truncated, dropped, attached or detached; after that run `bridgectl "
        "snapshot ENTITY --reconcile`",
        fatal=False,
    )


def _inherited(table: CatalogTable) -> Finding:
    return Finding(
        f"other tables inherit from {table.configured!r}: their rows are neither captured nor read "
        "with it; configure them as entities of their own, and write ONLY before the table's name "
        "in commands",
        fatal=False,
    )


def identity_columns(
    oid: int, setting: str, every: frozenset[str], facts: ServerFacts
) -> frozenset[str] | None:
    """The columns of a replica identity; None when there is none."""
    indexes = facts.indexes.get(oid, ())
    if setting == "f":
        return every
    for index in indexes:
        wanted = index.primary if setting == "d" else index.identity
        if setting in {"d", "i"} and wanted and index.immediate:
            return index.columns
    return None


def _places(table: CatalogTable, facts: ServerFacts) -> list[tuple[int, str, str]]:
    """Oid, replica identity and quoted name of what holds a table's rows: its partitions, if any."""
    if table.kind != "p":
        return [(table.oid, table.replica_identity, table.quoted)]
    return [
        (leaf.oid, leaf.replica_identity, f"{quote(leaf.schema)}.{quote(leaf.name)}")
        for leaf in facts.leaves.get(table.oid, ())
    ]


def weak_identity(table: CatalogTable, facts: ServerFacts) -> Finding | None:
    """Why updates and deletes of this table, or of a partition of it, can't be streamed."""
    every = frozenset(attribute.name for attribute in table.attributes)
    for oid, setting, quoted in _places(table, facts):
        if identity_columns(oid, setting, every, facts) is None:
            danger = (
                "its updates and deletes fail as long as it is published"
                if (table.schema, table.name) in facts.published
                else "it is not added to a publication, because its updates and deletes would fail"
            )
            reason = (
                "has REPLICA IDENTITY NOTHING"
                if setting == "n"
                else "has no primary key and no other replica identity"
            )
            where = "" if quoted == table.quoted else f", partition {quoted},"
            return Finding(
                f"table {table.configured!r}{where} {reason}: {danger}",
                _fix_statement(quoted, setting, facts.indexes.get(oid, ()), table),
            )
    return None


def _fix_statement(
    quoted: str, setting: str, indexes: tuple[Index, ...], table: CatalogTable
) -> str:
    if setting == "n" and any(index.primary and index.immediate for index in indexes):
        return ddl.identity_default(quoted)
    not_null = {attribute.name for attribute in table.attributes if attribute.not_null}
    for index in indexes:
        if index.immediate and not index.primary and index.columns <= not_null:
            return ddl.identity_index(quoted, index.name)
    return ddl.identity_full(quoted)


def _key(table: CatalogTable, use: TableUse, facts: ServerFacts) -> Iterator[Finding]:
    """The declared key must be unique, and be sent with deletes and changed keys."""
    indexes = facts.indexes.get(table.oid, ())
    primary = next((index.columns for index in indexes if index.primary), frozenset())
    key = frozenset(use.key) or primary
    generated = sorted(
        column.name for column in table.attributes if column.primary and column.generated
    )
    if generated and not use.key:
        yield Finding(
            f"table {table.configured!r}: {', '.join(map(repr, generated))} is part of the primary "
            "key and a generated column, which replication doesn't send: rows that differ in "
            "nothing else would overwrite each other in the log; declare the entity's `key` with "
            "other columns that are unique and never null"
        )
        return
    if not key:
        yield Finding(
            f"table {table.configured!r} has no primary key: declare the entity's `key`, or add one",
            f"ALTER TABLE {table.quoted} ADD PRIMARY KEY (...)",
        )
        return
    every = frozenset(attribute.name for attribute in table.attributes)
    if not key <= every:
        return  # said among the columns
    not_null = {attribute.name for attribute in table.attributes if attribute.not_null}
    if not key <= not_null:
        nullable = sorted(key - not_null)
        yield Finding(
            f"the key column {', '.join(map(repr, nullable))} of table {table.configured!r} may be "
            "null: no event can be about a row where it is, which becomes a dead letter",
            f"ALTER TABLE {table.quoted} "
            + ", ".join(f"ALTER {quote(name)} SET NOT NULL" for name in nullable),
            fatal=False,
        )
    for oid, setting, quoted in _places(table, facts):
        identity = identity_columns(oid, setting, every, facts) or frozenset()
        if not key <= identity:
            whole = ddl.identity_full(quoted)
            yield Finding(
                unidentified_key_text(table.configured, sorted(key - identity)),
                ddl.identity_default(quoted) if key <= primary else whole,
            )
            break
    if not any(index.columns <= key for index in indexes):
        columns = ", ".join(map(quote, use.key))
        yield Finding(
            f"nothing keeps the key ({', '.join(use.key)}) of table {table.configured!r} unique: "
            "rows with the same key would overwrite each other in the log",
            f"CREATE UNIQUE INDEX CONCURRENTLY ON {table.quoted} ({columns})",
        )


def _columns(table: CatalogTable, use: TableUse) -> Iterator[Finding]:
    table_columns = {attribute.name for attribute in table.attributes}
    unknown = [
        name for name in dict.fromkeys((*use.key, *use.columns)) if name not in table_columns
    ]
    if unknown:
        yield Finding(
            f"table {table.configured!r} has no column {', '.join(map(repr, unknown))} (it has "
            f"{', '.join(sorted(table_columns))})"
        )
    generated = [
        attribute.name
        for attribute in table.attributes
        if attribute.generated and attribute.name in use.columns
    ]
    if generated:
        yield Finding(
            f"table {table.configured!r}: {', '.join(map(repr, generated))} is a generated column, "
            "which replication doesn't send; leave it out, or compute it from what it is made of"
        )


def _coverage(
    table: CatalogTable, use: TableUse, facts: ServerFacts, publication: str
) -> Iterator[Finding]:
    if facts.publication is None:
        return
    published_table = facts.published.get((table.schema, table.name))
    if published_table is None:
        leaves = facts.leaves.get(table.oid, ())
        if any((leaf.schema, leaf.name) in facts.published for leaf in leaves):
            return  # streamed under the partitions' names, which is a finding of the publication's
        yield Finding(
            f"table {table.configured!r} is not in publication {publication!r}",
            ddl.add_table(publication, table.quoted),
            # Never added where the legacy system's own updates would fail.
            create=weak_identity(table, facts) is None,
        )
        return
    every = frozenset(attribute.name for attribute in table.attributes)
    identity = identity_columns(table.oid, table.replica_identity, every, facts) or frozenset()
    whole = ddl.publish_whole(publication, table.quoted)
    generated = {attribute.name for attribute in table.attributes if attribute.generated}
    if published_table.columns is not None:
        if facts.publication.refusing and not identity - generated <= published_table.columns:
            yield Finding(
                f"publication {publication!r} lists columns of {table.configured!r} without "
                f"{', '.join(map(repr, sorted(identity - published_table.columns)))} of its replica identity: "
                "the legacy system's own updates and deletes fail",
                whole,
            )
        unsent = sorted({*use.key, *use.columns} & every - published_table.columns)
        if unsent:
            yield Finding(
                f"publication {publication!r} leaves out {', '.join(map(repr, unsent))} of "
                f"{table.configured!r}, which the configuration uses",
                whole,
            )
    if published_table.filter and facts.publication.refusing:
        outside = sorted(filter_columns(published_table.filter, every) - identity)
        if outside:
            yield Finding(
                f"publication {publication!r} filters {table.configured!r} by "
                f"{', '.join(map(repr, outside))}, which is not part of its replica identity: the "
                "legacy system's own updates and deletes fail",
                whole,
            )


def filter_columns(condition: str, columns: frozenset[str]) -> frozenset[str]:
    """The columns that a row filter's text names."""
    text = _TEXTS.sub("''", condition)
    return frozenset(
        name
        for name in columns
        if re.search(rf'(?<![\w"]){re.escape(name)}(?![\w"])', text) or quote(name) in text
    )
