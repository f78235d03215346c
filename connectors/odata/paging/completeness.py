"""Reads answers to their end: by the service's links, and without links by asking for more.

A service that cuts its answers short says so by a link to the rest; some don't. An answer without a link
counts as complete if the service counts as many rows, has returned a larger answer before
(`bridge.connector.answer_check.AnswerSizes`), or is known to use links. Otherwise the bridge asks for
more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.connector.answer_check import AnswerMismatch, AnswerSizes
from bridge.model.errors import Rejected
from connectors.odata.http.client import ODataClient
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.request import with_query
from connectors.odata.protocol.response import EntityPage

JsonRow = Mapping[str, Any]


class Completeness:
    """How each entity set of one service cuts its answers, as far as known. Used by many tasks."""

    def __init__(self, client: ODataClient) -> None:
        self._client = client
        self._linking: set[str] = set()
        self._sizes: defaultdict[str, AnswerSizes] = defaultdict(AnswerSizes)

    def links(self, table: str) -> bool:
        """Whether the set has returned a link to the rest of an answer."""
        return table in self._linking

    def may_be_cut(self, table: str, rows: int, wanted: int | None = None) -> bool:
        """Whether rows may be missing after an answer without a link."""
        return not self.links(table) and self._sizes[table].may_be_cut(rows, wanted)

    async def every_row(self, of: EntitySetTable, size: int, limit: int | None) -> list[JsonRow]:
        """All rows of a set, or the first `limit`."""
        params = {"$select": of.select}
        if limit is not None:
            params["$top"] = str(limit)
        page = await self._client.page(of.name, params, prefer=f"odata.maxpagesize={size}")
        return await self.whole_answer(of, self._client.within(of.name, params), page, limit)

    async def whole_answer(
        self, of: EntitySetTable, path: str, page: EntityPage, limit: int | None
    ) -> list[JsonRow]:
        """The rows of an answer to `path`, of which `page` is the first page, up to `limit`. Raises
        AnswerMismatch if more are counted than can be read.
        """
        rows = list(page.rows)
        if page.next_link:
            self._linking.add(of.name)
            async for later in self._client.further(page, path):
                rows += later.rows
                if limit is not None and len(rows) >= limit:
                    break
            return rows
        if limit is not None and len(rows) >= limit:
            return rows
        expected = page.total if limit is None or page.total is None else min(page.total, limit)
        if self.links(of.name) or (expected is not None and len(rows) >= expected):
            return rows
        if expected is None and not self.may_be_cut(of.name, len(rows)):
            return rows
        return await self._rest(of, path, rows, expected, limit)

    async def _rest(
        self,
        of: EntitySetTable,
        path: str,
        rows: Sequence[JsonRow],
        expected: int | None,
        limit: int | None,
    ) -> list[JsonRow]:
        """All rows, by `$skip`, until nothing comes, or `limit` are there."""
        unique = {of.key_of(complete_row(of, row)): row for row in rows}
        page = await self._skipping(path, len(rows))
        if page is not None and page.rows:
            # In an order of its own the service may skip other rows than it returned.
            ordered = with_query(
                path, {"$orderby": ",".join(of.set.key)} if of.set.can_sort_by_key else {}
            )
            skipped, new = 0, True
            enough = False
            while page is not None and page.rows and new and not enough:
                page = await self._skipping(ordered, skipped)
                before = len(unique)
                unique |= (
                    {of.key_of(complete_row(of, row)): row for row in page.rows} if page else {}
                )
                new = len(unique) > before or not skipped
                skipped += len(page.rows) if page else 0
                enough = limit is not None and len(unique) >= limit
        at_end = page is not None and not page.rows
        if expected is not None and len(unique) < expected and not at_end:
            raise AnswerMismatch(
                f"entity set {of.name!r}: the service counts {expected} rows, returns {len(unique)} "
                "without a link to the rest, and ignores `$skip`"
            )
        return list(unique.values())

    async def _skipping(self, path: str, number: int) -> EntityPage | None:
        """The rows after so many; None if the service refuses `$skip`."""
        try:
            return await self._client.page(with_query(path, {"$skip": str(number)}))
        except Rejected:
            return None
