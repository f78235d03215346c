"""Set-based lookups for the gateway, in as few requests as the service takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.connector import Rows, System, distinct_keys
from bridge.model.errors import ConfigurationError, Rejected, Unsupported
from connectors.odata.answer import Answer, Request, page_of, row_of
from connectors.odata.client import Client
from connectors.odata.limits import limits_of
from connectors.odata.lookup import Form, can, forms_of, requests_for
from connectors.odata.table import Table
from connectors.odata.tables import Tables, whole

PAGE = 5000
"""Rows of a page that are asked for; services have limits of their own."""


AGAIN = 50
"""Lookups by one read a key after which filters are tried again: perhaps they were refused because
of a key.
"""

_Asked = tuple[str, tuple[str, ...]]
"""An entity set, and the columns that it was asked by."""


class ODataReader:
    """`bridge.connector.Reader`: one request a lookup, a GET or a `$batch` of several.

    Which form of filter an entity set takes is found out by asking, once, and remembered; so is
    whether the service takes a `$batch`. Answers claim no visibility. A key that holds a null equals
    nothing.
    """

    def __init__(self, system: System, client: Client | None = None) -> None:
        self._client = client or Client(system)
        self._limits = limits_of(system.options)
        self._tables = Tables(system)
        self._where = f"system {system.name!r}: reading"
        self._forms: dict[_Asked, Form] = {}
        self._poor: Counter[_Asked] = Counter()
        self._batches = True

    @property
    def max_keys(self) -> int:
        """How many keys one lookup may carry."""
        return self._limits.read_keys

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None = None,
    ) -> Rows:
        """As `bridge.connector.Reader.fetch`."""
        asked = distinct_keys(table, columns, keys, self.max_keys)
        of = self._tables.of(await self._client.metadata(), table)
        for name in columns:
            if name not in of.set.properties:
                raise self._bad(f"entity set {table!r} has no property {name!r}")
        if columns and not asked:
            return Rows(of.shape, [])
        if not columns:
            return Rows(of.shape, self._raw(of, await self._all(of, limit), limit))
        found = await self._find(of, columns, asked, limit)
        return Rows(of.shape, self._raw(of, found, limit))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _bad(self, words: str) -> Rejected:
        return Rejected("bad_key", f"{self._where}: {words}")

    def _raw(
        self, of: Table, rows: Sequence[Mapping[str, Any]], limit: int | None
    ) -> list[tuple[Any, ...]]:
        """Raw rows, none of them twice: rows move between pages, and two filters may find one."""
        unique = {of.key_of(raw): raw for raw in (whole(of, row) for row in rows)}
        return list(unique.values())[:limit]

    async def _all(self, of: Table, limit: int | None) -> list[Mapping[str, Any]]:
        params = {"$select": of.select}
        if limit is not None:
            params["$top"] = str(limit)
        rows: list[Mapping[str, Any]] = []
        async for page in self._client.pages(of.name, params, size=PAGE):
            rows += page.rows
            if limit is not None and len(rows) >= limit:
                break
        return rows

    async def _find(
        self,
        of: Table,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None,
    ) -> list[Mapping[str, Any]]:
        """The rows, by the form that the service is known to take, or by the first that it does."""
        asked = of.name, tuple(columns)
        forms = self._to_try(of, asked)
        refused: Rejected | None = None
        for form in forms:
            try:
                requests = requests_for(
                    of, form, columns, keys, longest=self._client.room, limit=limit
                )
                rows = await self._rows(requests, limit)
            except Rejected as error:
                # The form, or one of the keys: another form tells. A key that can't be written
                # at all fails before anything is asked.
                refused = refused or error
                continue
            # One that the service takes by its key says nothing about filters.
            if form != "single" or refused is not None:
                self._forms[asked] = form
            return rows
        assert refused is not None, "one of the forms was tried"  # noqa: S101
        raise self._bad(
            f"{of.name} can't be asked for by {', '.join(columns)}: {refused}"
        ) from refused

    def _to_try(self, of: Table, asked: _Asked) -> Sequence[Form]:
        """The form that is known, or all that there are, the best first."""
        known = self._forms.get(asked)
        if known == "single":
            self._poor[asked] += 1
            if self._poor[asked] > AGAIN:
                self._poor[asked], known = 0, None
        if known is not None:
            return [known]
        return [one for one in forms_of(of.version) if can(one, of, asked[1])]

    async def _rows(
        self, requests: Sequence[Request], limit: int | None
    ) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        for request, answer in zip(requests, await self._answers(requests), strict=True):
            rows += await self._of(request, answer)
            if limit is not None and len(rows) >= limit:
                break
        return rows

    async def _answers(self, requests: Sequence[Request]) -> list[Answer]:
        if len(requests) > 1 and self._batches:
            try:
                return await self._client.batch(requests)
            except Unsupported:
                self._batches = False
        return [await self._client.ask(request) for request in requests]

    async def _of(self, request: Request, answer: Answer) -> list[Mapping[str, Any]]:
        """The rows of one answer, with those of its further pages; none where it is a 404."""
        single = "$filter=" not in request.path
        if single and answer.status == 404:
            return []
        self._client.check(request, answer)
        if single:
            row = row_of(answer.body)
            if row is None:
                raise ConfigurationError(f"{self._where}: {request.path[:60]}: no row came")
            return [row]
        page = page_of(answer.body)
        if page is None:
            raise ConfigurationError(f"{self._where}: {request.path[:60]}: no list of rows came")
        rows = list(page.rows)
        async for further in self._client.further(page, request.path):
            rows += further.rows
        return rows
