"""Changes by delta links (OData V4, part 1: 11.3 Requesting Changes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.connector import DELETE, UPDATE
from bridge.model.errors import HistoryLost, Rejected
from bridge.plan.steps import MISSING
from connectors.odata.answer import Page, segment
from connectors.odata.asking import is_link, query, removed_id
from connectors.odata.ids import key_in
from connectors.odata.polling import Asks, Item, State, Step, mark_of, packed, unpacked
from connectors.odata.table import Row, Table
from connectors.odata.tables import whole


class NoTracking(Exception):
    """The service gives no delta link for this entity set after all."""


class DeltaPoller:
    """`connectors.odata.polling.Poller`: follows the service's own links.

    The link is the state. A service doesn't say whether a row is new, so every row is an update.
    """

    name = "delta"
    tells_deletes = True

    def __init__(self, asks: Asks, table: Table, page: int) -> None:
        self.table = table
        self._asks = asks
        self._prefer = f"odata.maxpagesize={page}"
        self._link = ""
        self._following = ""
        self._told: dict[bytes, None] = {}

    async def begin(self) -> str:
        """Reads the set to its end, because the link comes with the last page; keeps no row."""
        prefer = f"odata.track-changes,{self._prefer}"
        page = await self._asks.page(self.table.name, query(self.table), prefer=prefer)
        while not page.delta_link:
            if not page.next_link:
                raise NoTracking
            page = await self._asks.page(page.next_link, prefer=self._prefer, absolute=True)
        self._link, self._told = page.delta_link, {}
        return ""

    def restore(self, state: State) -> None:
        self._link = state["link"]
        self._told = dict.fromkeys(unpacked(state["told"]))

    def saved(self, marks: int) -> State:
        return {"link": self._link, "told": packed(list(self._told)[-marks:] if marks else [])}

    async def step(self) -> Step:
        try:
            page = await self._asks.page(self._link, prefer=self._prefer, absolute=True)
        except (HistoryLost, Rejected) as error:
            # Also a link that the service doesn't know any more (404) or can't read (400).
            return await self._anew(str(error))
        self._following = page.next_link or page.delta_link or ""
        if not self._following:
            return await self._anew("a page of changes came without a link to the next ones")
        return await self._step(page)

    async def _anew(self, why: str) -> Step:
        """A new link first, so that nothing is missed between it and the comparison."""
        try:
            await self.begin()
        except NoTracking:
            raise Rejected(
                "no_tracking",
                f"entity set {self.table.name!r}: the service tracks no changes of it any more "
                f"({why}); say `means: changed` or `means: listing` for it under capture.sets",
            ) from None
        self._following = self._link
        return Step([], more=False, stale=f"its delta link is not accepted any more: {why}")

    async def _step(self, page: Page) -> Step:
        items: list[Item] = []
        for json in page.rows:
            if is_link(json):
                continue
            found = await self._item(json)
            if found is None:
                return await self._anew("a removed row came without its key")
            if found.mark not in self._told and (found.row is None or MISSING not in found.row):
                items.append(found)
        return Step(items, more=bool(page.next_link))

    async def _item(self, json: Mapping[str, Any]) -> Item | None:
        address = removed_id(json)
        row = self.table.row(json)
        if address is None:
            if MISSING in row:
                row = await self._whole(row)
            return Item(UPDATE, self.table.key_of(row), row, mark_of(row))
        key = self.table.key_of(row)
        if MISSING in key:
            found = key_in(address, self.table.key, self.table.version)
            if found is None:
                return None
            key = found
        return Item(DELETE, key, None, mark_of(("removed", key)))

    async def _whole(self, row: Row) -> Row:
        """The row, of which a delta response told only what has changed. As it was told where it
        is gone by now: its removal follows.
        """
        key = self.table.key_of(row)
        if MISSING in key:
            return row
        path = segment(f"{self.table.name}{self.table.predicate(key)}")
        try:
            answer = await self._asks.get(path, query(self.table))
        except Rejected as error:
            if error.code == "not_found":
                return row
            raise
        return whole(self.table, answer.body)

    def took(self, item: Item) -> None:
        self._told[item.mark] = None

    def turn(self) -> None:
        self._link, self._told = self._following, {}
