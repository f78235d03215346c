"""Changes by comparing listings: for entity sets that tell nothing of when they changed.

What was told of each row is remembered in memory, as its key and a mark of its content. A small
set's memory fits into the checkpoint; a larger one is gone with the process, so that after a start
the table has to be compared with the log (`Batch.stale`). Sets of more than `limit` rows aren't
remembered at all: they are compared with the log again and again.
"""

from __future__ import annotations

import json as codec
import zlib
from base64 import b85decode, b85encode
from enum import Enum

from bridge.connector import CREATE, DELETE, UPDATE
from bridge.model.errors import HistoryLost, Rejected
from connectors.odata.answer import Page
from connectors.odata.asking import behind, key_can_page, query
from connectors.odata.polling import MARK, Asks, Item, State, Step, mark_of
from connectors.odata.table import Row, Table
from connectors.odata.tables import whole
from connectors.sql.keys import packed, unpacked


class _Phase(Enum):
    IDLE = "idle"
    READING = "reading"
    CLOSING = "closing"


class ListingPoller:
    """`connectors.odata.polling.Poller`: reads all rows at each look.

    `whole` is False where there are too many to be remembered; then only `stale` tells.
    """

    name = "listing"

    def __init__(self, asks: Asks, table: Table, *, page: int, limit: int) -> None:
        self.table = table
        self._asks = asks
        self._page = page
        self._limit = limit
        self._known: dict[Row, bytes] = {}
        self._met: set[Row] = set()
        self._cursor: Row | None = None
        self._link: str | None = None
        self._next: tuple[Row | None, str | None] | None = None
        self._phase = _Phase.IDLE
        self.whole = True

    async def begin(self) -> str:
        """Remembers what is there by now."""
        self._known, self.whole, self._phase = {}, True, _Phase.IDLE
        more = True
        while more and self.whole:
            step = await self.step()
            for item in step.items:
                self.took(item)
            self.turn()
            more = step.more
        return ""

    def restore(self, state: State) -> None:
        """What was remembered; a state without rows is none to go on from."""
        text = zlib.decompress(b85decode(state["rows"]))
        self._known = {
            tuple(unpacked(part) for part in key): bytes.fromhex(mark)
            for key, mark in codec.loads(text)
        }

    def saved(self, marks: int) -> State:
        # A key takes about as much room as a mark.
        if not self.whole or len(self._known) * 2 > marks:
            return {"rows": None}
        rows = [[[packed(part) for part in key], mark.hex()] for key, mark in self._known.items()]
        text = b85encode(zlib.compress(codec.dumps(rows).encode())).decode()
        return {"rows": text if len(text) <= marks * MARK else None}

    async def step(self) -> Step:
        if not self.whole:
            return Step([], more=False)
        if self._phase is _Phase.IDLE:
            self._phase, self._met = _Phase.READING, set()
            self._cursor, self._link = None, None
        if self._phase is _Phase.CLOSING:
            return self._gone()
        page = await self._read()
        rows = [whole(self.table, json) for json in page.rows]
        items = []
        self._met.update(self.table.key_of(row) for row in rows)
        self._next = self._following(rows, page)
        for row in rows:
            key, mark = self.table.key_of(row), mark_of(row)
            known = self._known.get(key)
            if known != mark:
                items.append(Item(CREATE if known is None else UPDATE, key, row, mark))
        return Step(items, more=True)

    def _gone(self) -> Step:
        """The last step of a poll: what was there and was not met."""
        gone = [key for key in self._known if key not in self._met]
        return Step([Item(DELETE, key, None, mark_of(key)) for key in gone], more=False)

    async def _read(self) -> Page:
        prefer = f"odata.maxpagesize={self._page}"
        if self._link is not None:
            try:
                return await self._asks.page(self._link, prefer=prefer, absolute=True)
            except (HistoryLost, Rejected):
                # The service doesn't know its link any more: this look begins again.
                self._phase = _Phase.IDLE
                raise
        if not key_can_page(self.table):
            return await self._asks.page(self.table.name, query(self.table), prefer=prefer)
        filtered = "" if self._cursor is None else behind(self.table, self.table.key, self._cursor)
        params = query(self.table, filtered=filtered, order=self.table.key, top=self._page)
        return await self._asks.page(self.table.name, params, prefer=prefer)

    def _following(self, rows: list[Row], page: Page) -> tuple[Row | None, str | None] | None:
        """Where the next page begins; None: there is none. That a page is short is believed only
        where nothing is missing: some services give fewer rows than they were asked for, and no
        link to the others.
        """
        if page.next_link and page.next_link == self._link:
            self._phase = _Phase.IDLE
            raise Rejected("refused", f"entity set {self.table.name!r}: the pages go in a circle")
        if not rows or not key_can_page(self.table):
            # A service may answer with an empty page in the middle.
            return (self._cursor, page.next_link) if page.next_link else None
        if not page.next_link and len(rows) < self._page and self._met >= self._known.keys():
            return None
        last = self.table.key_of(rows[-1])
        if last == self._cursor:
            raise Rejected(
                "refused",
                f"entity set {self.table.name!r}: the service gives the same rows whatever key "
                "they should be behind; it seems to ignore $filter",
            )
        return last, None

    @property
    def size(self) -> int:
        """How many rows are remembered."""
        return len(self._known)

    def took(self, item: Item) -> None:
        if item.row is None:
            self._known.pop(item.key, None)
            return
        self._known[item.key] = item.mark
        if len(self._known) > self._limit:
            self._known, self.whole, self._phase = {}, False, _Phase.IDLE

    def turn(self) -> None:
        if self._phase is _Phase.CLOSING:
            self._phase = _Phase.IDLE
        elif self._next is None:
            self._phase = _Phase.CLOSING
        else:
            self._cursor, self._link = self._next
