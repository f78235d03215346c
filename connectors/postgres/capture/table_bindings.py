"""The table of each configured name, and its entry in the publication.

The stream identifies tables by name, so a table that was dropped and made again, swapped by a rename, or
out of the publication for a while seems unchanged. The oids of the table and of its
entry show it: they are part of the checkpoint, looked up again at each start and each heartbeat, and a
table that has others by then is compared with the log.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from bridge.connector import Stale, System
from connectors.postgres import ddl
from connectors.postgres.capture.relation_shapes import chosen_tables
from connectors.postgres.capture.slot import Binding, lsn_number, tables_text
from connectors.postgres.catalog.table_defects import identity_defect, is_logged, unlogged_text
from connectors.postgres.catalog.tables import Catalog, CatalogTable, Connection
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of

#: From this version on a publication may hold schemas.
_SCHEMAS_VERSION = 150000
#: A partition is held by its root's entry, too. FOR ALL TABLES: the publication itself.
_ENTRIES: LiteralString = """
    SELECT t.oid, coalesce(
           (SELECT min(r.oid::int8) FROM pg_catalog.pg_publication_rel r
             WHERE r.prpubid = p.oid AND (r.prrelid = t.oid OR r.prrelid IN (
                   SELECT a.relid FROM pg_partition_ancestors(t.oid::regclass) a))),
           CASE WHEN p.puballtables THEN p.oid::int8 END,
           {schemas}
           0)
      FROM unnest(%s::oid[]) AS t(oid), pg_catalog.pg_publication p
     WHERE p.pubname = %s
       AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
"""
_OF_SCHEMA: LiteralString = """
           (SELECT min(s.oid::int8) FROM pg_catalog.pg_publication_namespace s
              JOIN pg_catalog.pg_class c ON c.relnamespace = s.pnnspid
             WHERE s.pnpubid = p.oid AND c.oid = t.oid),
"""


@dataclass(frozen=True, slots=True)
class _Replaced:
    """A table to compare once the stream has passed `lsn`: what was streamed until then is older."""

    binding: Binding
    reason: str
    lsn: int


class TableBindings:
    """The bindings of all configured tables. `look_up` may run while the stream is read."""

    def __init__(self, system: System, connection: Connection) -> None:
        self._system = system
        self._names = [use.table for use in system.tables]
        self._keys = {use.table: use.key for use in system.tables}
        self._publication = options_of(system).publication
        self._connection = connection
        self._current: dict[str, Binding] = {}
        self._text: str | None = None
        self._replaced: dict[str, _Replaced] = {}
        #: Tables that aren't streamed for now, and what fixes that.
        self.troubles: dict[str, str] = {}

    @property
    def current(self) -> Mapping[str, Binding]:
        """For the checkpoint: what everything streamed so far was about."""
        return self._current

    @property
    def text(self) -> str:
        """The same as a checkpoint has it."""
        if self._text is None:
            self._text = tables_text(self._current)
        return self._text

    def _bind(self, name: str, binding: Binding) -> None:
        self._current[name] = binding
        self._text = None

    def resume(self, recorded: Mapping[str, Binding]) -> None:
        """Begin with the bindings of a checkpoint; of other tables the first look-up is taken."""
        self._current = {name: recorded[name] for name in self._names if name in recorded}
        self._text = None

    @property
    def waits(self) -> bool:
        """Whether tables are to be reconciled once the stream has advanced."""
        return bool(self._replaced)

    @property
    def reasons(self) -> list[str]:
        """Why tables are to be compared."""
        return [replaced.reason for replaced in self._replaced.values()]

    async def look_up(self) -> list[CatalogTable]:
        """Look the names up again; returns the tables. Raises as `translate_error` does."""
        try:
            return await self._read_bindings()
        except psycopg.Error as error:
            raise translate_error(error, self._system, "cannot read the catalogue") from None

    async def _read_bindings(self) -> list[CatalogTable]:
        tables, missing = await chosen_tables(Catalog(self._connection), self._names)
        entries = await self._entries([table.oid for table in tables])
        troubles: dict[str, str] = {}
        fresh: dict[str, tuple[Binding, str]] = {}
        for table in tables:
            name, entry = table.configured, entries.get(table.oid, 0)
            before = self._current.get(name)
            if not entry:
                troubles[name] = self._unpublished(table)
                # Even if it is published again, the changes until then are missing.
                self._bind(name, Binding(before.table if before else table.oid, 0))
                continue
            if trouble := identity_defect(table, self._keys[name] or table.primary_key):
                troubles[name] = trouble
            if before is None:
                self._bind(name, Binding(table.oid, entry))
            elif before != Binding(table.oid, entry):
                fresh[name] = Binding(table.oid, entry), self._reason(name, before.table, table.oid)
        for name in self._names:
            if all(table.configured != name for table in tables):
                [why] = [text for text in missing if repr(name) in text][:1] or [f"table {name!r}"]
                troubles[name] = f"{why}; none of its changes are streamed"
                if name not in self._current:
                    self._bind(name, Binding(0, 0))
        self.troubles = troubles
        await self._add(fresh)
        return tables

    def _unpublished(self, table: CatalogTable) -> str:
        name = table.configured
        if not is_logged(table):
            what, fix = unlogged_text(table)
            return f"{what}; run: {fix}" if fix else what
        if identity_defect(table, ()):
            return (
                f"table {name!r} is not in publication {self._publication!r} and has no replica "
                f"identity: none of its changes are streamed; run: "
                f"{ddl.identity_full(table.quoted)}, then `bridgectl setup "
                f"{self._system.name}`"
            )
        return (
            f"table {name!r} is not in publication {self._publication!r}, or that leaves "
            f"operations out: none of its changes are streamed; run `bridgectl setup "
            f"{self._system.name}`, or: {ddl.add_table(self._publication, table.quoted)}; "
            "then it is compared with the log by itself"
        )

    async def _add(self, fresh: Mapping[str, tuple[Binding, str]]) -> None:
        self._replaced = {
            name: replaced
            for name, replaced in self._replaced.items()
            if name in fresh and fresh[name][0] == replaced.binding
        }
        if fresh.keys() == self._replaced.keys():
            return
        cursor = await self._connection.execute("SELECT pg_current_wal_insert_lsn()::text")
        [(text,)] = await cursor.fetchall()
        for name, (binding, reason) in fresh.items():
            if name not in self._replaced:
                self._replaced[name] = _Replaced(binding, reason, lsn_number(text))

    async def _entries(self, oids: list[int]) -> dict[int, int]:
        several = self._connection.info.server_version >= _SCHEMAS_VERSION
        statement = _ENTRIES.replace("{schemas}", _OF_SCHEMA if several else "")
        cursor = await self._connection.execute(statement, [oids, self._publication])
        return {oid: int(entry) for oid, entry in await cursor.fetchall()}

    def _reason(self, name: str, before: int, now: int) -> str:
        if before != now:
            return (
                f"table {name!r} is another one than before: it was dropped and created again, or "
                "swapped by a rename"
            )
        return (
            f"changes of table {name!r} were not streamed for a while, or not all of them: it, its name "
            f"or publication {self._publication!r} was changed meanwhile"
        )

    def renamed(self, oids: Collection[int]) -> None:
        """The stream had changes of these tables under names that aren't configured: what is
        missing under the configured ones is found once they are theirs again.
        """
        for name, binding in list(self._current.items()):
            if binding.table in oids:
                self._bind(name, Binding(binding.table, 0))

    def passed(self, lsn: int) -> list[Stale]:
        """The tables to compare now that the stream has passed everything before `lsn`."""
        stale = []
        for name, replaced in list(self._replaced.items()):
            if lsn >= replaced.lsn:
                del self._replaced[name]
                self._bind(name, replaced.binding)
                stale.append(Stale((name,), replaced.reason))
        return stale
