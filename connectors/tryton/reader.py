"""Set-based lookups for the gateway: one remote call each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.connector import Rows, System, distinct_keys
from bridge.model.errors import ConfigurationError, Rejected
from connectors.tryton.catalogue import Tables
from connectors.tryton.client import Client
from connectors.tryton.domain import Domain, any_of
from connectors.tryton.faults import NoSession, Refused


class TrytonReader:
    """`bridge.connector.Reader`. Answers tell no visibility: they are as of when they were asked."""

    max_keys = 1000

    def __init__(self, system: System) -> None:
        self._client = Client(system)
        self._tables = Tables(system, self._client)

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None = None,
    ) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        asked = distinct_keys(table, columns, keys, self.max_keys)
        try:
            known = await self._tables.table(table)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_key", str(error)) from error
        domain: Domain = any_of(known, columns, asked) if columns else []
        try:
            rows = await self._client.search_read(table, domain, known.names, limit=limit)
        except Refused as error:
            raise Rejected("bad_key", f"model {table!r} can't be read: {error}") from error
        return Rows(known.shape, [known.row(row) for row in rows])

    async def close(self) -> None:
        """End the session."""
        await self._client.close()
