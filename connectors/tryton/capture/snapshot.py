"""Models in chunks, by id."""

from __future__ import annotations

from functools import partial
from typing import Any

from bridge.connector import Chunk, Condition, System
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.seen_again import seen_again
from bridge.model.errors import ConfigurationError
from bridge.plan.steps import MISSING
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.protocol.domain import domain_of


class TrytonSnapshot:
    """`bridge.connector.Snapshot` and `ListsKeys`: one remote call a chunk."""

    def __init__(self, system: System) -> None:
        self._client = TrytonClient(system)
        self._tables = ModelTables(system, self._client)

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted."""
        known = await self._tables.table(table)
        domain = domain_of(known, where or {})
        with_inactive = {"active_test": False}
        found = await self._readable(
            table, self._client.call_model(table, "search_count", domain, context=with_inactive)
        )
        return int(found)

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`."""
        known = await self._tables.table(table)
        rows = await self._rows(known, domain_of(known, where or {}), known.names, after, limit)
        return Chunk(known.shape, [known.row(row) for row in rows], _last(rows, limit))

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `bridge.connector.ListsKeys.keys`."""
        known = await self._tables.table(table)
        own = [name for name in known.names if name == ID or name in known.key]
        rows = await self._rows(known, [], own, after, limit)
        listed = [
            tuple([known.cell(name, row) if name in own else MISSING for name in known.names])
            for row in rows
        ]
        return Chunk(known.shape, listed, _last(rows, limit))

    async def _rows(
        self,
        known: ModelTable,
        domain: list[Any],
        names: list[str],
        after: list[Any] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The next rows by id. That there are no more is believed of an empty answer alone."""
        name = known.model.name
        rows: list[dict[str, Any]] = []
        while len(rows) < limit:
            behind = [[ID, ">", rows[-1][ID]]] if rows else _behind(after)
            more = await self._readable(
                name,
                self._client.search_read(name, [*domain, *behind], names, limit=limit - len(rows)),
            )
            if not more:
                if behind and await seen_again(partial(self._overlooked, name)) is not None:
                    raise AnswerMismatch(
                        f"model {name!r}: the ERP counts rows and doesn't find them by their ids, so that "
                        "rows would be left out"
                    )
                break
            rows += more
        return rows

    async def _overlooked(self, name: str) -> int | None:
        """The first row that there is, where a condition on ids doesn't find it."""
        first = await self._client.search(name, [], limit=1)
        if not first or await self._client.search(name, [[ID, "<=", first[0]]], limit=1):
            return None
        return first[0]

    async def close(self) -> None:
        """End the session."""
        await self._client.close()

    async def _readable(self, table: str, call: Any) -> Any:
        try:
            return await call
        except CallRefused as error:
            raise ConfigurationError(f"model {table!r} can't be read: {error}") from error


def _behind(after: list[Any] | None) -> list[Any]:
    return [[ID, ">", int(after[0])]] if after else []


def _last(rows: list[dict[str, Any]], limit: int) -> list[Any] | None:
    return [str(rows[-1][ID])] if len(rows) >= limit else None
