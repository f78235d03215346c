"""Set-based lookups for the gateway, in as few requests as the service allows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import ConfigurationError, Rejected, RetryLater, Unsupported
from connectors.erp.probe import MAX_CONTROL_ROWS
from connectors.odata.http.client import ODataClient
from connectors.odata.http.errors import is_refusal
from connectors.odata.http.limits import limits_of
from connectors.odata.lookup.form_choice import IGNORED_FORM_TEXT, LookupForms
from connectors.odata.lookup.requests import LookupForm, form_fits, forms_of, lookup_requests
from connectors.odata.paging.completeness import Completeness
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse, page_of, row_of
from connectors.odata.protocol.row_check import has_foreign, row_values

METADATA_INTERVAL_S = 60.0
"""After metadata was read again because a lookup was refused, how long no other refusal does so: it may
be tens of megabytes.
"""
MAX_DISTINCT_READS = 3
"""How often rows are read of which some come twice."""
PAGE_ROWS = 5000
"""Rows requested per page; services have limits of their own."""


class ODataReader:
    """`bridge.connector.Reader`: one request a lookup, a GET or a `$batch` of several.

    Which form of filter an entity set accepts is tried once and remembered; so is whether the service
    accepts a `$batch`. Rows are compared with the keys: a form that the service ignores is not used
    again. Answers claim no visibility. A key with a null equals nothing.
    """

    features = ReaderFeatures(deadline=True)

    def __init__(
        self,
        system: System,
        client: ODataClient | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client or ODataClient(system)
        self._limits = limits_of(system.options)
        self._tables = EntitySetTables(system)
        self._where = f"system {system.name!r}: reading"
        self._forms = LookupForms(monotonic)
        self._monotonic = monotonic
        self._next_metadata = 0.0
        self._batches = True
        self._complete = Completeness(self._client)
        #: Sets that refuse to count.
        self._uncounted: set[str] = set()

    @property
    def max_keys(self) -> int:
        """Maximum keys of one lookup."""
        return self._limits.max_keys_per_read

    async def fetch(self, ask: Ask) -> Rows:
        """As `bridge.connector.Reader.fetch`. Raises AnswerMismatch if the service ignores every form of
        the filter.
        """
        refuse_unsupported(ask, self.features)
        async with until_deadline(ask, self._where):
            return await self._answer(ask)

    async def _answer(self, ask: Ask) -> Rows:
        table, columns, limit = ask.table, ask.columns, ask.limit
        unique_keys = distinct_keys(ask, self.max_keys)
        entity_table = self._tables.of(await self._client.metadata(), table)
        try:
            return await self._rows_by(entity_table, columns, unique_keys, limit)
        except AnswerMismatch:
            raise
        except Rejected:
            # The service may have another version by now: a property that is gone is refused.
            now = self._monotonic()
            if now < self._next_metadata:
                raise
            self._next_metadata = now + METADATA_INTERVAL_S
            altered = self._tables.of(await self._client.refresh_metadata(), table)
            if altered.shape is entity_table.shape:
                raise
            return await self._rows_by(altered, columns, unique_keys, limit)

    async def _rows_by(
        self,
        entity_table: EntitySetTable,
        columns: Sequence[str],
        unique_keys: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> Rows:
        table = entity_table.name
        for name in columns:
            if name not in entity_table.set.properties:
                raise self._bad(f"entity set {table!r} has no property {name!r}")
        if columns and not unique_keys:
            return Rows(entity_table.shape, [])

        async def read(most: int | None) -> Sequence[Mapping[str, Any]]:
            if not columns:
                return await self._complete.every_row(entity_table, PAGE_ROWS, most)
            return await self._find(entity_table, columns, unique_keys, most)

        return Rows(entity_table.shape, await self._distinct(entity_table, read, limit))

    async def try_forms(self, table: EntitySetTable) -> list[str]:
        """Problems of this table's lookups, each form tried once; unknown for a set without rows."""
        key = tuple(table.set.key)
        if not all(name in table.set.properties and table.set.can_filter(name) for name in key):
            return []
        faults: list[str] = []
        page = await self._client.page(table.name, {"$select": ",".join(key), "$top": "2"})
        keys = [row_values(table.set, table.version, key, row) for row in page.rows[:2]]
        if not keys:
            return faults
        for form in forms_of(table.version):
            if not form_fits(form, table, key):
                continue
            try:
                rows = await self._by(table, form, key, keys[-1:], None)
                if not rows and (
                    await seen_again(partial(self._overlooked, table, form, key)) is not None
                ):
                    faults.append(f"{IGNORED_FORM_TEXT[form]}: it doesn't find an existing row")
            except AnswerMismatch as error:
                faults.append(f"lookups don't use forms that don't work: {error}")
            except Rejected as error:
                if form != "in":
                    faults.append(f"lookups of this form are refused ({form}): {error}")
        return faults

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _bad(self, words: str) -> Rejected:
        return Rejected("bad_key", f"{self._where}: {words}")

    async def _distinct(
        self,
        table: EntitySetTable,
        read: Callable[[int | None], Awaitable[Sequence[Mapping[str, Any]]]],
        limit: int | None,
    ) -> list[tuple[Any, ...]]:
        """Raw rows, none of them twice: rows move between pages, and two filters may find one. Each that
        came twice took the place of another one below the limit, so that as many more are read: an
        answer below its limit is a whole one.
        """
        most = limit
        for _ in range(MAX_DISTINCT_READS):
            rows = await read(most)
            unique = {table.key_of(raw): raw for raw in (complete_row(table, row) for row in rows)}
            if limit is None or most is None or len(unique) >= limit or len(rows) < most:
                return list(unique.values())[:limit]
            most = limit + len(rows) - len(unique)
        raise RetryLater(
            f"{self._where}: {table.name}: each time some of its rows came twice, so that it isn't known "
            f"whether {limit} rows are all: they move between pages; try again"
        )

    async def _find(
        self,
        table: EntitySetTable,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> list[Mapping[str, Any]]:
        """The rows, by the known form, or by the first one that the service accepts."""
        lookup = table.name, tuple(columns)
        refused: Rejected | None = None
        for form in self._forms.to_try(table, lookup):
            try:
                rows = await self._by(table, form, columns, keys, limit)
            except AnswerMismatch as error:
                self._forms.ignore(lookup, form)
                refused = error
                continue
            except Rejected as error:
                # The form, or one of the keys: another form shows which. A key that can't be written at
                # all fails before anything is sent.
                refused = refused or error
                continue
            # A row that is read by its key says nothing about filters.
            if form != "single" or refused is not None:
                self._forms.choose(lookup, form)
            return rows
        names = ", ".join(columns)
        if refused is None or isinstance(refused, AnswerMismatch):
            raise AnswerMismatch(
                f"{self._where}: {table.name} can't be looked up by {names}: {self._forms.ignored_text(table, lookup)}. "
                "What came was not used. Make the service obey its filters, or look up by the whole "
                f"key ({', '.join(table.set.key)})"
            ) from refused
        raise self._bad(f"{table.name} can't be looked up by {names}: {refused}") from refused

    async def _by(
        self,
        table: EntitySetTable,
        form: LookupForm,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> list[Mapping[str, Any]]:
        """The service's rows, compared with the keys. Raises AnswerMismatch."""
        lookup = table.name, tuple(columns)
        rows = await self._rows_of(table, form, columns, keys, limit)
        if has_foreign(table.set, table.version, columns, keys, rows):
            raise AnswerMismatch(f"{table.name}: {IGNORED_FORM_TEXT[form]}: unrequested rows came")
        if form == "single":
            return rows
        if rows:
            self._forms.prove(lookup, form)
        elif not self._forms.is_proven(lookup, form):
            await self._control(table, form, columns)
        return rows

    async def _rows_of(
        self,
        table: EntitySetTable,
        form: LookupForm,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> list[Mapping[str, Any]]:
        """With the count if there may be several rows, so that a cut answer shows. If the service refuses
        `limit` as `$top`, none is sent: its own pages are then read up to `limit`.
        """
        if len(keys) == 1 and set(columns) == set(table.set.key):
            limit = 1
        most = self._client.top_limits.of(table.name)
        if form == "single" or limit is None or limit == 1 or most is not None:
            return await self._with_top(table, form, columns, keys, limit, most=most)
        try:
            return await self._with_top(table, form, columns, keys, limit)
        except AnswerMismatch:
            raise
        except Rejected as error:
            if not is_refusal(error):
                raise
            # A request with only that `$top` shows whether it is the reason.
            await self._client.get(table.name, {"$select": table.set.key[0], "$top": str(limit)})
            most = self._client.top_limits.of(table.name)
            if most is None:
                raise
            return await self._with_top(table, form, columns, keys, limit, most=most)

    async def _with_top(
        self,
        table: EntitySetTable,
        form: LookupForm,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None,
        *,
        most: int | None = None,
    ) -> list[Mapping[str, Any]]:
        """As `_rows_of`; `most`: the largest accepted `$top`, if the service refuses more."""
        top = limit if limit is None or most is None or limit <= most else None
        counted = (
            form != "single"
            and limit != 1
            and table.set.countable
            and table.name not in self._uncounted
            and not self._complete.links(table.name)
        )
        room = self._client.room
        if counted:
            requests = lookup_requests(
                table, form, columns, keys, longest=room, limit=top, counted=True
            )
            try:
                return await self._rows(table, requests, limit)
            except AnswerMismatch:
                raise
            except Rejected:
                # Perhaps because of the count alone, which the plainest form shows.
                if form != "or":
                    raise
                requests = lookup_requests(table, form, columns, keys, longest=room, limit=top)
                rows = await self._rows(table, requests, limit)
                self._uncounted.add(table.name)
                return rows
        requests = lookup_requests(table, form, columns, keys, longest=room, limit=top)
        return await self._rows(table, requests, limit)

    async def _control(
        self, table: EntitySetTable, form: LookupForm, columns: Sequence[str]
    ) -> None:
        """A form that has found nothing yet must find an existing row; unknown for an empty set. Raises
        AnswerMismatch.
        """
        if await seen_again(partial(self._overlooked, table, form, columns)) is None:
            return
        raise AnswerMismatch(
            f"{table.name}: {IGNORED_FORM_TEXT[form]}: it doesn't find an existing row"
        )

    async def _overlooked(
        self, table: EntitySetTable, form: LookupForm, columns: Sequence[str]
    ) -> tuple[Any, ...] | None:
        """The requested row, by its key and its values, if the form doesn't find it."""
        names = list(dict.fromkeys([*table.set.key, *columns]))
        params = {"$select": ",".join(names), "$top": str(MAX_CONTROL_ROWS)}
        page = await self._client.page(table.name, params)
        for row in page.rows:
            values = row_values(table.set, table.version, columns, row)
            if not all(map(_is_plain, values)):
                continue
            if await self._rows_of(table, form, columns, [values], 1):
                self._forms.prove((table.name, tuple(columns)), form)
                return None
            key = row_values(table.set, table.version, table.set.key, row)
            return tuple(map(repr, (*key, *values)))
        return None

    async def _rows(
        self, table: EntitySetTable, requests: Sequence[ODataRequest], limit: int | None
    ) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        for request, answer in zip(requests, await self._answers(requests), strict=True):
            rows += await self._of(table, request, answer, limit)
            if limit is not None and len(rows) >= limit:
                break
        return rows

    async def _answers(self, requests: Sequence[ODataRequest]) -> list[ODataResponse]:
        if len(requests) > 1 and self._batches:
            try:
                return await self._client.batch(requests)
            except Unsupported:
                self._batches = False
        return [await self._client.ask(request) for request in requests]

    async def _of(
        self, table: EntitySetTable, request: ODataRequest, answer: ODataResponse, limit: int | None
    ) -> list[Mapping[str, Any]]:
        """The rows of one answer and of its further pages; none for a 404."""
        single = "$filter=" not in request.path
        if single and answer.status == 404:
            return []
        self._client.check(request, answer)
        if single:
            row = row_of(answer.body)
            if row is None:
                raise ConfigurationError(
                    f"{self._where}: {request.path[:60]}: the answer is no row"
                )
            return [row]
        page = page_of(answer.body)
        if page is None:
            raise ConfigurationError(
                f"{self._where}: {request.path[:60]}: the answer is no list of rows"
            )
        return await self._complete.whole_answer(table, request.path, page, limit)


def _is_plain(value: Any) -> bool:
    return value is not None and isinstance(value, (str, int, float))
