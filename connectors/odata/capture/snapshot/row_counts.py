"""How many rows an entity set has, by the service's own count."""

from __future__ import annotations

from bridge.model.errors import Rejected, RetryLater
from connectors.odata.http.client import ODataClient
from connectors.odata.protocol.entity_table import EntitySetTable
from connectors.odata.protocol.query import query_options
from connectors.odata.protocol.response import page_of, row_count


class RowCounts:
    """Counts rows of one service's sets; remembers which sets refuse it."""

    def __init__(self, client: ODataClient) -> None:
        self._client = client
        self._refusing: set[str] = set()

    async def count(self, table: EntitySetTable, filtered: str) -> int:
        """The number of rows that `filtered` finds; 0 if the service doesn't count.

        Counted with a page of no rows, or else by `/$count`. Raises RetryLater if other requests fail, too.
        """
        if not table.set.countable or table.name in self._refusing:
            return 0
        try:
            return await self._count_in_page(table, filtered)
        except (Rejected, RetryLater) as error:
            if isinstance(error, RetryLater) and error.after is not None:
                raise
            counted = await self._count_alone(table, filtered)
            if counted is not None:
                return counted
            # Whatever else is wrong shows here: an outage, or a filter that is refused.
            await self._client.page(table.name, query_options(table, filtered=filtered, top=1))
            self._refusing.add(table.name)
            return 0

    async def _count_in_page(self, table: EntitySetTable, filtered: str) -> int:
        params = query_options(
            table, filtered=filtered, top=0, select=table.set.key[0], counted=True
        )
        body = (await self._client.get(table.name, params)).body
        page = page_of(body)
        if page is not None and page.total is not None:
            return page.total
        # V2 may leave the list out where no row of it was asked for.
        inside = body.get("d") if isinstance(body, dict) else None
        return (row_count(inside.get("__count")) or 0) if isinstance(inside, dict) else 0

    async def _count_alone(self, table: EntitySetTable, filtered: str) -> int | None:
        params = {"$filter": filtered} if filtered else {}
        try:
            body = (await self._client.get(f"{table.name}/$count", params)).body
        except (Rejected, RetryLater):
            return None
        text = (
            body.decode(errors="replace").strip("\ufeff \r\n") if isinstance(body, bytes) else body
        )
        return row_count(text) or None
