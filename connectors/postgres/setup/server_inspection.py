"""Everything that capture needs of the server, read at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from bridge.connector import System
from connectors.postgres.capture.relation_shapes import chosen_tables
from connectors.postgres.capture.slot import SLOT_COLUMNS, ReplicationSlot, slot_of
from connectors.postgres.catalog.publication import Published, published
from connectors.postgres.catalog.tables import Catalog, CatalogTable, Connection
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of, slot_name
from connectors.sql.write.ledger import LEDGER_TABLE as LEDGER

_SERVER: LiteralString = """
    SELECT current_database(), current_user::text, r.rolsuper,
           r.rolreplication OR r.rolsuper OR coalesce(
               (SELECT pg_has_role(o.oid, 'MEMBER') FROM pg_roles o
                 WHERE o.rolname = 'rds_replication'), false),
           pg_is_in_recovery(),
           (SELECT count(*) FROM pg_replication_slots),
           (SELECT count(*) FROM pg_stat_replication)
      FROM pg_roles r WHERE r.rolname = current_user
"""
_SETTINGS: LiteralString = """
    SELECT name, setting FROM pg_settings
     WHERE name IN ('wal_level', 'max_replication_slots', 'max_wal_senders',
                    'max_slot_wal_keep_size')
"""
_PUBLICATION: LiteralString = """
    SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot,
           pubupdate OR pubdelete
      FROM pg_publication WHERE pubname = %s
"""
_INDEXES: LiteralString = """
    SELECT i.indrelid, c.relname, i.indisprimary, i.indisreplident, i.indimmediate,
           (SELECT array_agg(a.attname::text ORDER BY k.n)
              FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, n)
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
             WHERE k.n <= i.indnkeyatts)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid
       AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_LEAVES: LiteralString = """
    SELECT t.root, n.nspname, c.relname, c.oid, c.relreplident::text
      FROM unnest(%s::oid[]) AS t(root), pg_partition_tree(t.root::regclass) AS p
      JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE p.isleaf AND c.oid <> t.root
"""
_SLOT: LiteralString = f"""
    SELECT {SLOT_COLUMNS}, a.application_name
      FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
     WHERE s.slot_name = %s
"""
_LEDGER: LiteralString = """
    SELECT c.oid::regclass::text, has_table_privilege(c.oid, 'SELECT')
           AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
           AND has_table_privilege(c.oid, 'DELETE')
      FROM pg_class c WHERE c.oid = to_regclass(%s)
"""


@dataclass(frozen=True, slots=True)
class Index:
    """A unique index without expression or condition."""

    name: str
    primary: bool
    identity: bool
    immediate: bool
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A partition that holds rows: replica identity is its own, not its root's."""

    schema: str
    name: str
    oid: int
    replica_identity: str


@dataclass(frozen=True, slots=True)
class Publication:
    """A row of pg_publication. `whole`: all operations; `refusing`: updates or deletes."""

    all_tables: bool
    whole: bool
    via_root: bool
    refusing: bool


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Everything that `check` judges."""

    version: int
    database: str
    role: str
    superuser: bool
    replication: bool
    standby: bool
    slots_used: int
    senders_used: int
    settings: Mapping[str, str]
    publication: Publication | None
    published: Mapping[tuple[str, str], Published]
    slot: ReplicationSlot | None
    slot_user: str | None
    tables: tuple[CatalogTable, ...]
    absent: tuple[str, ...] = ()
    indexes: Mapping[int, tuple[Index, ...]] = field(default_factory=dict)
    leaves: Mapping[int, tuple[Leaf, ...]] = field(default_factory=dict)
    ledger: str | None = None
    ledger_granted: bool = False


async def inspect_server(system: System, connection: Connection) -> ServerFacts:
    """Read the facts. Raises ConfigurationError or RetryLater when that isn't possible."""
    try:
        return await _gather(system, connection)
    except psycopg.Error as error:
        raise translate_error(error, system, "cannot read the catalogue") from None


async def _gather(system: System, connection: Connection) -> ServerFacts:
    options = options_of(system)

    async def ask(statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        cursor = await connection.execute(statement, values or None)
        return await cursor.fetchall()

    [server] = await ask(_SERVER)
    settings = {str(name): str(value) for name, value in await ask(_SETTINGS)}
    publications = await ask(_PUBLICATION, options.publication)
    slots = await ask(_SLOT, slot_name(system))
    names = [use.table for use in system.tables]
    tables, missing = await chosen_tables(Catalog(connection), names)
    oids = [table.oid for table in tables]
    roots = [table.oid for table in tables if table.kind == "p"]
    leaves: dict[int, tuple[Leaf, ...]] = {}
    for root, *leaf in await ask(_LEAVES, roots):
        leaves[root] = (*leaves.get(root, ()), Leaf(*leaf))
    held = [leaf.oid for group in leaves.values() for leaf in group]
    indexes: dict[int, tuple[Index, ...]] = {}
    for oid, name, primary, identity, immediate, columns in await ask(_INDEXES, [*oids, *held]):
        index = Index(name, primary, identity, immediate, frozenset(columns or ()))
        indexes[oid] = (*indexes.get(oid, ()), index)
    ledgers = await ask(_LEDGER, LEDGER)
    return ServerFacts(
        version=connection.info.server_version,
        database=server[0],
        role=server[1],
        superuser=server[2],
        replication=server[3],
        standby=server[4],
        slots_used=server[5],
        senders_used=server[6],
        settings=settings,
        publication=Publication(*publications[0]) if publications else None,
        published=await published(connection, options.publication),
        slot=slot_of(slots[0]) if slots else None,
        slot_user=slots[0][9] if slots else None,
        tables=tuple(tables),
        absent=tuple(missing),
        indexes=indexes,
        leaves=leaves,
        ledger=ledgers[0][0] if ledgers else None,
        ledger_granted=bool(ledgers and ledgers[0][1]),
    )
