"""Entity sets in chunks: by key if the service supports it, otherwise by its own links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.connector import Chunk, Condition, System
from bridge.connector.answer_check import AnswerMismatch, first_foreign
from bridge.model.errors import ConfigurationError, Rejected
from connectors.odata.capture.options import ODataOptions, options_of
from connectors.odata.capture.snapshot.keyset_chunks import KeysetChunks
from connectors.odata.capture.snapshot.link_chunks import LinkChunks, is_link_cursor
from connectors.odata.capture.snapshot.row_counts import RowCounts
from connectors.odata.http.client import ODataClient
from connectors.odata.protocol.entity_table import EntitySetTable, Row
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.query import condition_filter, condition_values
from connectors.odata.protocol.row_check import as_row_value


class ODataSnapshot:
    """`bridge.connector.Snapshot` and `ListsKeys`.

    Each chunk begins after the last key (`$filter`, `$orderby`), if the service obeys both in a trial
    (`keyset_trial`) and in its pages. Otherwise, or if the metadata forbid it, the service's own links
    are followed in its own order, and their end is compared with the service's own count. If neither
    works, it raises AnswerMismatch.
    """

    def __init__(self, system: System, client: ODataClient | None = None) -> None:
        self._client = client or ODataClient(system)
        self._tables = EntitySetTables(system)
        self._page_rows = options_of(system.options).page if system.options else ODataOptions().page
        self._counts = RowCounts(self._client)
        self._keyset = KeysetChunks(self._client, self._counts, self._page_rows)
        self._links = LinkChunks(self._client, self._counts, self._keyset.faults)

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted by the service; 0 if it doesn't count."""
        entity_table = await self._table(table)
        return await self._counts.count(
            entity_table, condition_filter(entity_table, where) if where else ""
        )

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`. Raises AnswerMismatch if the service ignores options, so
        that rows could be left out.
        """
        entity_table = await self._table(table)
        return await self._read(entity_table, where, after, limit, entity_table.select)

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `bridge.connector.ListsKeys.keys`. Raises as `chunk`."""
        entity_table = await self._table(table)
        chunk = await self._read(entity_table, None, after, limit, ",".join(entity_table.set.key))
        chunk.rows = [entity_table.only_key(entity_table.key_of(row)) for row in chunk.rows]
        return chunk

    async def try_questions(self, table: str) -> None:
        """Send the requests of a snapshot once: the number of rows, its first page, and a row after that.
        Raises AnswerMismatch, Rejected if not all rows of the table can be read.
        """
        entity_table = await self._table(table)
        await self.count(table, None)
        chunk = await self._read(entity_table, None, None, self._page_rows, entity_table.select)
        if chunk.last is not None:
            # A page by links is always complete.
            await self._read(entity_table, None, chunk.last, 1, entity_table.select)

    def fault(self, table: str) -> str:
        """Why pages of a table can't begin after a key, although the metadata allow it."""
        return self._keyset.faults.get(table, "")

    def most_rows(self, table: str) -> int | None:
        """The most rows of a table that the service returns per request, if fewer than requested."""
        return self._client.top_limits.of(table)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    async def _read(
        self,
        table: EntitySetTable,
        where: Condition | None,
        after: list[Any] | None,
        limit: int,
        select: str,
    ) -> Chunk:
        filtered = condition_filter(table, where) if where else ""
        linked = after is not None and is_link_cursor(after)
        refusal = ""
        if not linked and await self._keyset.fits(table, filtered):
            try:
                chunk = await self._keyset.chunk(table, filtered, after, limit, select)
            except AnswerMismatch as error:
                self._keyset.faults[table.name] = str(error)
            except Rejected as error:
                refusal = f"it refuses pages by key: {error}"
            else:
                self._hold(table, where, chunk.rows)
                return chunk
        # Rows that were read in a wrong order are read again.
        try:
            chunk = await self._links.chunk(
                table, filtered, after if linked else None, limit, select
            )
        except AnswerMismatch:
            raise
        except Rejected as error:
            fault = refusal or self._keyset.faults.get(table.name, "")
            if not fault:
                raise
            words = (
                f"entity set {table.name!r} can't be read: {fault}; and by its own links: {error}"
            )
            raise Rejected(error.code, words) from error
        if refusal:
            self._keyset.faults[table.name] = refusal
        self._hold(table, where, chunk.rows)
        return chunk

    def _hold(self, table: EntitySetTable, where: Condition | None, rows: Sequence[Row]) -> None:
        """Compare rows with the condition. Raises AnswerMismatch."""
        names = [p.name for p in table.properties]
        for name, wanted in (where or {}).items():
            if name not in names:
                continue
            p = table.set.properties[name]
            choices = [
                (as_row_value(p, table.version, value),) for value in condition_values(wanted)
            ]
            index = names.index(name)
            if first_foreign([(row[index],) for row in rows], choices) is not None:
                raise AnswerMismatch(
                    f"entity set {table.name!r}: rows have another {name} than requested: the service "
                    "ignores `$filter`; take the snapshot without a condition"
                )

    async def _table(self, name: str) -> EntitySetTable:
        service = await self._client.metadata()
        try:
            return self._tables.of(service, name)
        except ConfigurationError:
            # It may have come since the metadata were read.
            return self._tables.of(await self._client.refresh_metadata(), name)
