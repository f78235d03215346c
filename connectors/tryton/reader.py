"""Set-based lookups for the gateway: one remote call each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from bridge.connector import (
    Ask,
    ReaderFeatures,
    Rows,
    System,
    distinct_keys,
    refuse_unsupported,
    until_deadline,
)
from bridge.connector.answer_check import AnswerMismatch, AnswerSizes
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import ConfigurationError, Rejected
from connectors.erp.probe import MAX_CONTROL_ROWS
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused, NoSession
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.protocol.domain import Domain, domain_of_keys


class TrytonReader:
    """`bridge.connector.Reader`. Answers claim no visibility, only the time of the request."""

    max_keys = 1000
    features = ReaderFeatures(deadline=True)

    def __init__(self, system: System) -> None:
        self._client = TrytonClient(system)
        self._tables = ModelTables(system, self._client)
        #: Tables and columns by which a row was found: an empty answer then means that there is none.
        self._proven: set[tuple[str, tuple[str, ...]]] = set()
        self._sizes: defaultdict[str, AnswerSizes] = defaultdict(AnswerSizes)

    async def fetch(self, ask: Ask) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        refuse_unsupported(ask, self.features)
        async with until_deadline(ask, f"{self._client.where}: reading"):
            return await self._answer(ask)

    async def _answer(self, ask: Ask) -> Rows:
        table, columns, limit = ask.table, ask.columns, ask.limit
        distinct = distinct_keys(ask, self.max_keys)
        model_table = await self._described(table)
        if not set(columns) <= set(model_table.names):
            model_table = await self._described(table, again=True)
        try:
            try:
                return await self._find(model_table, columns, distinct, limit)
            except CallRefused:
                # The ERP may have got other modules: a field that is gone is refused.
                altered = await self._described(table, again=True)
                if altered is model_table:
                    raise
                return await self._find(altered, columns, distinct, limit)
        except CallRefused as error:
            raise Rejected("bad_key", f"model {table!r} can't be read: {error}") from error

    async def _described(self, table: str, *, again: bool = False) -> ModelTable:
        try:
            return await (self._tables.read_again if again else self._tables.table)(table)
        except NoSession:
            raise
        except ConfigurationError as error:
            raise Rejected("bad_key", str(error)) from error

    async def _find(
        self,
        model_table: ModelTable,
        columns: Sequence[str],
        distinct: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> Rows:
        table = model_table.model.name
        domain: Domain = domain_of_keys(model_table, columns, distinct) if columns else []
        max_rows = len(distinct) if tuple(columns) == (ID,) else None
        rows = await self._rows(model_table, domain, limit=limit, max_rows=max_rows)
        if rows:
            self._proven.add((table, tuple(columns)))
        elif distinct and (table, tuple(columns)) not in self._proven:
            await self._check_condition(model_table, columns)
        return Rows(model_table.shape, [model_table.row(row) for row in rows])

    async def _check_condition(self, table: ModelTable, columns: Sequence[str]) -> None:
        """Conditions that have found nothing yet must find an existing row; nothing is known for a model
        without rows. Raises AnswerMismatch.
        """
        model = table.model.name
        if await seen_again(partial(self._overlooked, table, columns)) is None:
            return
        raise AnswerMismatch(
            f"{self._client.where}: model {model!r}: the condition on {', '.join(columns)} doesn't find an "
            "existing row; an empty answer means nothing"
        )

    async def _overlooked(self, table: ModelTable, columns: Sequence[str]) -> str | None:
        """An existing row, by its id and values, if a condition on these doesn't find it."""
        model = table.model.name
        rows = await self._client.search_read(model, [], [ID, *columns], limit=MAX_CONTROL_ROWS)
        for row in rows:
            key = tuple(row[column] for column in columns)
            if None in key:
                continue
            if await self._client.search(model, domain_of_keys(table, columns, [key]), limit=1):
                self._proven.add((model, tuple(columns)))
                return None
            return repr((row[ID], key))
        return None

    async def _rows(
        self, table: ModelTable, domain: Domain, *, limit: int | None, max_rows: int | None
    ) -> list[dict[str, Any]]:
        """The rows that a domain finds, up to `limit`; `max_rows`: there can't be more. If an answer is
        larger than any before it, more rows are requested to see whether it was cut short.
        """
        model = table.model.name
        rows: list[dict[str, Any]] = []
        while True:
            left = None if limit is None else limit - len(rows)
            after = [[ID, ">", rows[-1][ID]]] if rows else []
            answer = await self._client.search_read(
                model,
                [*([domain] if domain else []), *after],
                table.names,
                limit=left,
            )
            rows += answer
            if not answer or (max_rows is not None and len(rows) >= max_rows):
                return rows
            if (left is not None and len(answer) >= left) or not self._sizes[model].may_be_cut(
                len(answer)
            ):
                return rows

    async def close(self) -> None:
        """End the session."""
        await self._client.close()
