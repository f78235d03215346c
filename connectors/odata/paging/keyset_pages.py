"""Pages of an entity set that begin after a key, in one of two forms of `$filter`.

| form | the rows after `(1, 2)` | taken by |
|---|---|---|
| `or` | `(a gt 1 or (a eq 1 and b gt 2))` | most services |
| `ranges` | `a eq 1 and b gt 2`, and once nothing comes any more `a gt 1` | also those that refuse `or` over different properties, as Dynamics 365 Business Central does |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import Rejected
from connectors.odata.http.errors import is_refusal
from connectors.odata.metadata.model import Property
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.page_reader import FetchPage
from connectors.odata.protocol.entity_table import EntitySetTable
from connectors.odata.protocol.query import (
    QueryOptions,
    after_key,
    all_of,
    before_key,
    ranges_after,
    ranges_before,
)
from connectors.odata.protocol.response import EntityPage


class KeysetPages:
    """Pages by `properties`, whose order must be total. After the first refusal the other form is used."""

    def __init__(self, table: EntitySetTable, properties: Sequence[Property]) -> None:
        self._table = table
        self.properties = tuple(properties)
        self.form: Literal["or", "ranges"] = "or"

    async def page(
        self,
        fetch: FetchPage,
        params: Mapping[str, str],
        cursor: Sequence[Any] | None,
        *,
        filtered: str = "",
        prefer: str = "",
    ) -> EntityPage:
        """The next rows after `cursor` (None: the first ones) of those that `filtered` finds. A page
        without rows is the end, unless it has a link. Raises Rejected if the service accepts neither
        form.
        """
        whole = dict(params)
        if cursor is None:
            return await self._ask(fetch, whole, filtered, prefer)
        if self.form == "or":
            try:
                beginning = after_key(self._table, self.properties, cursor)
                return await self._ask(fetch, whole, all_of(filtered, beginning), prefer)
            except AnswerMismatch:
                raise
            except Rejected as error:
                if len(self.properties) == 1 or not is_refusal(error):
                    raise
                refusal = error
            try:
                page = await self._by_ranges(fetch, whole, cursor, filtered, prefer)
            except Rejected as error:
                raise refusal from error
            self.form = "ranges"
            return page
        return await self._by_ranges(fetch, whole, cursor, filtered, prefer)

    def filters_after(self, key: Sequence[Any]) -> list[str]:
        """Filters that together find the rows after a key."""
        if self.form == "ranges":
            return ranges_after(self._table, self.properties, key)
        return [after_key(self._table, self.properties, key)]

    def filters_before(self, key: Sequence[Any]) -> list[str]:
        """Filters that together find the rows before a key."""
        if self.form == "ranges":
            return ranges_before(self._table, self.properties, key)
        return [before_key(self._table, self.properties, key)]

    async def _ask(
        self, fetch: FetchPage, params: QueryOptions, filtered: str, prefer: str
    ) -> EntityPage:
        more = {"$filter": filtered} if filtered else {}
        return await fetch(self._table.name, {**params, **more}, prefer=prefer)

    async def _by_ranges(
        self,
        fetch: FetchPage,
        params: QueryOptions,
        cursor: Sequence[Any],
        filtered: str,
        prefer: str,
    ) -> EntityPage:
        """The first range that has rows: it can't be known whether a page of it is short or its last one,
        so the next range is read only once this one has none.
        """
        page = EntityPage([], None, None)
        for text in ranges_after(self._table, self.properties, cursor):
            page = await self._ask(fetch, params, all_of(filtered, text), prefer)
            followed = FollowedLinks()
            while not page.rows and page.next_link and followed.lead_on(page.next_link):
                page = await fetch(page.next_link, prefer=prefer, absolute=True)
            if page.rows:
                break
        # The service counts the rows of one range, not those that follow.
        return page._replace(total=None)
