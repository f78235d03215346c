"""Models in chunks, by id."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

from bridge.connector import Chunk, Condition, System
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import ConfigurationError
from bridge.plan.steps import MISSING
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.protocol.domain import domain_of

Result = TypeVar("Result")


class TrytonSnapshot:
    """`bridge.connector.Snapshot` and `ListsKeys`: one remote call per chunk."""

    def __init__(self, system: System) -> None:
        self._client = TrytonClient(system)
        self._tables = ModelTables(system, self._client)

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted."""
        model_table = await self._tables.table(table)
        count = self._client.call_model(
            table,
            "search_count",
            domain_of(model_table, where or {}),
            context={"active_test": False},
        )
        return int(await _readable(table, count))

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`."""
        model_table = await self._tables.table(table)
        domain = domain_of(model_table, where or {})
        rows = await self._rows(model_table, domain, model_table.names, after, limit)
        raw_rows = [model_table.row(row) for row in rows]
        return Chunk(model_table.shape, raw_rows, _last_key(rows, limit))

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `bridge.connector.ListsKeys.keys`."""
        model_table = await self._tables.table(table)
        names = [name for name in model_table.names if name == ID or name in model_table.key]
        rows = await self._rows(model_table, [], names, after, limit)
        keys = [
            tuple(
                [
                    model_table.cell(name, row) if name in names else MISSING
                    for name in model_table.names
                ]
            )
            for row in rows
        ]
        return Chunk(model_table.shape, keys, _last_key(rows, limit))

    async def _rows(
        self,
        table: ModelTable,
        domain: list[Any],
        names: list[str],
        after: list[Any] | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The next rows by id. Only an empty answer is the end."""
        model = table.model.name
        rows: list[dict[str, Any]] = []
        while len(rows) < limit:
            ids_after = [[ID, ">", rows[-1][ID]]] if rows else _ids_after(after)
            answer = await _readable(
                model,
                self._client.search_read(
                    model, [*domain, *ids_after], names, limit=limit - len(rows)
                ),
            )
            if not answer:
                if ids_after and await seen_again(partial(self._overlooked, model)) is not None:
                    raise AnswerMismatch(
                        f"model {model!r}: the ERP counts rows and doesn't find them by their ids, so that "
                        "rows would be left out"
                    )
                break
            rows += answer
        return rows

    async def _overlooked(self, model: str) -> int | None:
        """The first row, if a condition on ids doesn't find it."""
        first = await self._client.search(model, [], limit=1)
        if not first or await self._client.search(model, [[ID, "<=", first[0]]], limit=1):
            return None
        return first[0]

    async def close(self) -> None:
        """End the session."""
        await self._client.close()


async def _readable(model: str, call: Awaitable[Result]) -> Result:
    try:
        return await call
    except CallRefused as error:
        raise ConfigurationError(f"model {model!r} can't be read: {error}") from error


def _ids_after(after: list[Any] | None) -> list[Any]:
    return [[ID, ">", int(after[0])]] if after else []


def _last_key(rows: list[dict[str, Any]], limit: int) -> list[Any] | None:
    return [str(rows[-1][ID])] if len(rows) >= limit else None
