"""Entity sets in key-ordered chunks."""

from __future__ import annotations

from typing import Any

from bridge.connector import Chunk, Condition, System
from bridge.model.errors import ConfigurationError, HistoryLost, Rejected, RetryLater
from connectors.odata.answer import Page
from connectors.odata.asking import behind, both, key_can_page, matching, query
from connectors.odata.client import Client
from connectors.odata.table import Row, Table
from connectors.odata.tables import Tables, whole
from connectors.sql.keys import packed, unpacked

LINK = "link"
"""What a cursor begins with that is a place behind one of the service's own links."""


class ODataSnapshot:
    """`bridge.connector.Snapshot` and `ListsKeys`.

    Each chunk begins behind the last key (`$filter`, `$orderby`). Where the metadata says that a
    set can't be asked so, the service's own links are followed, in its own order.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._client = Client(system)
        self._tables = Tables(system)

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted by the service; 0 where it doesn't count."""
        of = await self._table(table)
        if not of.set.countable:
            return 0
        filtered = matching(of, where) if where else ""
        asked = {"$count": "true"} if of.version == "v4" else {"$inlinecount": "allpages"}
        select = of.set.key[0]
        params = query(of, filtered=filtered, top=0, select=select) | asked
        body = (await self._client.get(of.name, params)).body
        inside = body.get("d", body) if isinstance(body, dict) else {}
        if not isinstance(inside, dict):
            return 0
        found = [str(inside.get(name)) for name in ("@odata.count", "@count", "__count")]
        return next((int(one) for one in found if one.isdecimal() and len(one) < 19), 0)

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`."""
        of = await self._table(table)
        filtered = matching(of, where) if where else ""
        if not key_can_page(of):
            return await self._linked(of, filtered, after, limit)
        return await self._keyed(of, filtered, after, limit, of.select)

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `bridge.connector.ListsKeys.keys`."""
        of = await self._table(table)
        if key_can_page(of):
            found = await self._keyed(of, "", after, limit, ",".join(of.set.key))
        else:
            found = await self._linked(of, "", after, limit)
        found.rows = [of.only_key(of.key_of(row)) for row in found.rows]
        return found

    async def _table(self, name: str) -> Table:
        service = await self._client.metadata()
        try:
            return self._tables.of(service, name)
        except ConfigurationError:
            # It may have come since the metadata were read.
            client, self._client = self._client, Client(self._system)
            await client.close()
            return self._tables.of(await self._client.metadata(), name)

    async def _keyed(
        self, of: Table, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """As many of the service's pages as `limit` rows take.

        The end is where nothing comes: some services give fewer rows than they were asked for, and
        no link to the others, and what is taken for missing would be deleted from the log.
        """
        rows: list[Row] = []
        cursor = None if after is None else [unpacked(part) for part in after]
        while True:
            wanted = limit - len(rows)
            begin = "" if cursor is None else behind(of, of.key, cursor)
            params = query(
                of, filtered=both(filtered, begin), order=of.key, top=wanted, select=select
            )
            prefer = f"odata.maxpagesize={wanted}"
            page = await self._filled(of, await self._client.page(of.name, params, prefer=prefer))
            some = [whole(of, json) for json in page.rows[:wanted]]
            rows += some
            if not some:
                return Chunk(of.shape, rows, None)
            last = list(of.key_of(some[-1]))
            if last == cursor:
                raise ConfigurationError(
                    f"entity set {of.name!r}: the service gives the same rows whatever key they "
                    "should be behind; it seems to ignore $filter"
                )
            cursor = last
            if len(rows) >= limit:
                return Chunk(of.shape, rows, [packed(part) for part in cursor])

    async def _filled(self, of: Table, page: Page) -> Page:
        """The page, or the first one behind it with rows: one without may stand in the middle.

        Raises RetryLater where the service doesn't know its own link any more.
        """
        if page.rows or not page.next_link:
            return page
        try:
            async for later in self._client.further(page, of.name):
                page = later
                if page.rows:
                    break
        except HistoryLost as error:
            raise RetryLater(str(error)) from error
        return page

    async def _linked(self, of: Table, filtered: str, after: list[Any] | None, limit: int) -> Chunk:
        """The rest of a page, or the next one: `after` is [LINK, link or "", rows to skip]. From the
        beginning where the service doesn't know its link any more.
        """
        _, link, skip = after or [LINK, "", 0]
        prefer = f"odata.maxpagesize={limit}"
        followed = {link}
        while True:
            try:
                page = await self._page(of, filtered, link, prefer)
            except (HistoryLost, Rejected) as error:
                if not link:
                    raise
                if "" in followed:
                    raise RetryLater(str(error)) from error
                link, skip = "", 0
                followed.add(link)
                continue
            some = page.rows[skip : skip + limit]
            rows = [whole(of, json) for json in some]
            if skip + len(some) < len(page.rows):
                return Chunk(of.shape, rows, [LINK, link, skip + len(some)])
            if not page.next_link:
                return Chunk(of.shape, rows, None)
            if page.next_link in followed:
                raise RetryLater(f"entity set {of.name!r}: the pages go in a circle")
            if rows:
                return Chunk(of.shape, rows, [LINK, page.next_link, 0])
            # A service may answer with an empty page in the middle; a chunk never is one.
            link, skip = page.next_link, 0
            followed.add(link)

    async def _page(self, of: Table, filtered: str, link: str, prefer: str) -> Page:
        if link:
            return await self._client.page(link, prefer=prefer, absolute=True)
        return await self._client.page(of.name, query(of, filtered=filtered), prefer=prefer)

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()
