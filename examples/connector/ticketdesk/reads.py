"""Reads of tables as they are: in chunks for snapshots, by keys for lookups."""

from __future__ import annotations

from typing import Any

from bridge.connector import (
    Ask,
    Chunk,
    Condition,
    ReaderFeatures,
    Rows,
    distinct_keys,
    refuse_unsupported,
)
from bridge.model.errors import Rejected

from .client import Client
from .rows import python_value, raw_row, shape_of

MAX_KEYS_PER_QUERY = 100


class TicketdeskSnapshot:
    """`bridge.connector.Snapshot`, and `ListsKeys`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self, table: str, where: Condition | None) -> int:
        """Ticketdesk can't count: progress is shown without a total."""
        return 0

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """Up to `limit` rows whose key is greater than `after`, in key order."""
        return await self._chunk(table, where or {}, after, limit, key_only=False)

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """The same with keys alone."""
        return await self._chunk(table, {}, after, limit, key_only=True)

    async def _chunk(
        self, table: str, where: Condition, after: list[Any] | None, limit: int, *, key_only: bool
    ) -> Chunk:
        description = await self._client.table(table)
        shape = shape_of(description)
        read = await self._client.rows_by_key(table, None if after is None else after[0], limit)
        last = [str(read[-1][description.key])] if len(read) == limit else None
        columns = {column.name: column for column in shape.columns}
        rows = [
            raw_row(shape, row, key_only=key_only)
            for row in read
            if all(
                _equals(python_value(columns[name], row[name]), value)
                for name, value in where.items()
            )
        ]
        return Chunk(shape, rows, last)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _equals(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, (list, tuple)) else bool(value == wanted)


class TicketdeskReader:
    """`bridge.connector.Reader`: every read of the gateway."""

    features = ReaderFeatures()

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def max_keys(self) -> int:
        """How many keys one request may carry."""
        return MAX_KEYS_PER_QUERY

    async def fetch(self, ask: Ask) -> Rows:
        """All rows that answer `ask`, in one request."""
        refuse_unsupported(ask, self.features)
        table, columns = ask.table, ask.columns
        shape = shape_of(await self._client.table(table))
        columns_known = {column.name for column in shape.columns}
        if unknown := [name for name in columns if name not in columns_known]:
            raise Rejected("bad_key", f"table {table!r} has no column {unknown[0]!r}")
        wanted = distinct_keys(ask, MAX_KEYS_PER_QUERY)
        if columns and not wanted:
            return Rows(shape, [])
        rows = await self._client.matching_rows(table, columns, wanted)
        return Rows(shape, [raw_row(shape, row) for row in rows][: ask.limit])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
