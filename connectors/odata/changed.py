"""Changes by a property that every change raises, such as `modifiedAt`.

A change may become visible later than the moment that it carries: its transaction was long, or
another server's clock is behind. So every look begins `overlap` seconds before what the service's
clock showed at the look before it; rows that were told already are recognised. A change is missed
only where it becomes visible more than `overlap` after the moment that it carries.

Rows come in the order of (moment, key), each page behind the last row of the one before; the
service's own links often count rows, and skip one where another moved behind it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bridge.connector import CREATE, UPDATE
from bridge.model.errors import HistoryLost, Rejected
from connectors.odata.answer import Page, page_of
from connectors.odata.asking import behind, from_moment, key_can_page, query
from connectors.odata.clock import Clock, floor
from connectors.odata.polling import Asks, Item, State, Step, Told, mark_of
from connectors.odata.table import Row, Table
from connectors.odata.tables import whole
from connectors.sql.keys import packed as kept
from connectors.sql.keys import unpacked as restored

MAX_MARKS = 200_000
"""Rows told in one overlap of which the content is remembered; of older ones some come twice."""
_END: tuple[None, None] = (None, None)
GROWTH = 4
"""How much larger a page is asked for where one holds nothing but rows of one moment."""


class ChangedPoller:
    """`connectors.odata.polling.Poller`: asks for rows from a moment on."""

    name = "changed"

    def __init__(
        self,
        asks: Asks,
        table: Table,
        changed: str,
        created: str | None,
        *,
        page: int,
        overlap: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.table = table
        self._asks = asks
        names = [p.name for p in table.properties]
        self._at = names.index(changed)
        self._moment = table.properties[self._at]
        self._created = names.index(created) if created else None
        self._page = page
        self._clock = Clock(overlap, monotonic)
        #: What was told from the start of the last poll on.
        self._told = Told()
        #: Every row that carries a later moment and was told is in `_told`; None: every one is.
        self._sure: datetime | None = None
        #: Behind which row the next page of the poll under way begins; the link where keys can't.
        self._cursor: list[Any] | None = None
        self._link: str | None = None
        self._from: datetime | None = None
        #: The poll under way began before a restart, nobody knows when.
        self._resumed = False
        self._next: tuple[list[Any] | None, str | None] = (None, None)
        self._stale = ""
        self._top = page
        self._keyed = key_can_page(table)

    # -- where to begin --------------------------------------------------------------------

    async def begin(self) -> str:
        """Remembers what stands in the overlap by now, so that only what follows is told."""
        p = self._moment
        params = query(self.table, filtered=f"{p.name} ne null", top=1)
        params["$orderby"] = f"{p.name} desc"
        self._told, self._sure, self._resumed = Told(), None, False
        self._cursor = self._link = None
        self._clock.forget()
        page = await self._page_of(self.table.name, params)
        for json in page.rows:
            self._clock.see(floor(whole(self.table, json)[self._at]))
        more = self._clock.latest is not None
        while more:
            step = await self.step()
            for item in step.items:
                self.took(item)
            self.turn()
            more = step.more
        return ""

    def restore(self, state: State) -> None:
        self._clock.restore(_moment(state["latest"]), state["behind"])
        # Their own moments are not kept: they are forgotten one overlap from now at the earliest.
        self._told.restore(state["told"], self._clock.latest)
        self._sure = _moment(state["sure"])
        self._cursor = [restored(one) for one in state["cursor"]] if state["cursor"] else None
        self._link = state["link"]
        self._from = _moment(state["from"])
        self._resumed = self._cursor is not None or self._link is not None

    def saved(self, marks: int) -> State:
        sure = self._sure if len(self._told) <= marks else self._clock.latest
        return {
            "latest": _text(self._clock.latest),
            "behind": self._clock.behind,
            "told": self._told.saved(marks),
            "sure": _text(sure),
            "cursor": [kept(one) for one in self._cursor] if self._cursor else None,
            "link": self._link,
            "from": _text(self._from),
        }

    # -- one page --------------------------------------------------------------------------

    async def step(self) -> Step:
        if self._cursor is None and self._link is None:
            self._poll_from(self._start())
        self._stale = ""
        while True:
            page = await self._read()
            rows = [whole(self.table, json) for json in page.rows]
            items = [self._item(row) for row in rows]
            items = [one for one in items if not self._told.has(one)]
            following = self._following(rows, page, fresh=bool(items))
            if following is not None:
                break
            # More rows than a page carry one moment, and the service shows less of it than it
            # keeps: behind it are the same rows again.
            self._top *= GROWTH
        self._next = following
        return Step(items, more=following != _END, stale=self._stale)

    def _start(self) -> datetime | None:
        if self._resumed and self._from is not None:
            # What became visible while it went on was perhaps behind its pages already.
            self._resumed = False
            return self._from
        latest = self._clock.latest
        many = latest is not None and self._told.at_least(latest) > self._page
        return self._clock.start(skip_latest=many)

    def _poll_from(self, start: datetime | None) -> None:
        self._from, self._cursor, self._link = start, None, None
        if start is not None:
            self._told.before(start)
            self._unsure(start)

    async def _read(self) -> Page:
        prefer = f"odata.maxpagesize={self._top}"
        if self._link is not None:
            try:
                return await self._page_of(self._link, prefer=prefer, absolute=True)
            except (HistoryLost, Rejected):
                # The service doesn't know its link any more: the poll begins again.
                self._poll_from(self._from)
        first = self._cursor is None
        if self._cursor is not None and self._keyed:
            filtered = behind(self.table, [self._moment, *self.table.key], self._cursor)
        elif self._cursor is not None:
            filtered = from_moment(self.table, self._moment, self._cursor[0])
        elif self._from is not None:
            filtered = from_moment(self.table, self._moment, self._from)
        else:
            filtered = f"{self._moment.name} ne null"
        order = [self._moment, *self.table.key] if self._keyed else [self._moment]
        # Where the service's own links are followed, a $top would end them.
        top = self._top if self._keyed else None
        params = query(self.table, filtered=filtered, order=order, top=top)
        page = await self._page_of(self.table.name, params, prefer=prefer)
        if first and (back := self._clock.set_back()) is not None:
            self._stale = back.stale
            self._poll_from(back.start)
            return await self._read()
        return page

    async def _page_of(
        self,
        path: str,
        params: dict[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Page:
        begun = self._clock.now()
        answer = await self._asks.get(path, params, prefer=prefer, absolute=absolute)
        found = page_of(answer.body)
        if found is None:
            raise Rejected(
                "refused", f"entity set {self.table.name!r}: no list of rows came; is it one?"
            )
        first = self._cursor is None and self._link is None
        self._clock.told(answer.headers.get("date", ""), begun, first=first)
        return found

    def _following(
        self, rows: list[Row], page: Page, *, fresh: bool
    ) -> tuple[list[Any] | None, str | None] | None:
        """Where the next page begins; nothing twice: there is none; None: behind no other row.

        `fresh`: it held something new. A service that gives fewer rows than were asked for, and no
        link to the others, is asked for more until it has nothing new.
        """
        full = self._keyed and len(rows) >= self._top
        if not (page.next_link or (rows and (full or fresh))):
            return _END
        moment = floor(rows[-1][self._at]) if rows else None
        if moment is not None:
            cursor = [moment, *self.table.key_of(rows[-1])] if self._keyed else [moment]
            if cursor != self._cursor:
                return cursor, None
        if page.next_link:
            return self._cursor, page.next_link
        return None if full and moment is not None else _END

    def _item(self, row: Row) -> Item:
        key = self.table.key_of(row)
        moment = row[self._at]
        aware = isinstance(moment, datetime) and moment.tzinfo is not None
        op = CREATE if self._is_new(row, key) else UPDATE
        return Item(op, key, row, mark_of(row), moment if aware else None)

    def _is_new(self, row: Row, key: Row) -> bool:
        """Whether it was certainly not told since it was made: all that was told of it would carry a
        moment from which on everything is remembered.
        """
        made = floor(row[self._created]) if self._created is not None else None
        if made is None or (self._sure is not None and made <= self._sure):
            return False
        known, at = self._told.of(key)
        return not known or (at is not None and at < made)

    async def blind(self) -> bool:
        """Whether there are rows without a moment, which no look brings."""
        params = query(self.table, filtered=f"{self._moment.name} eq null", top=1)
        return bool((await self._asks.page(self.table.name, params)).rows)

    # -- what was told ---------------------------------------------------------------------

    def took(self, item: Item) -> None:
        moment = floor(item.row[self._at]) if item.row else None
        if moment is None:
            return
        self._told.add(item, moment)
        self._clock.see(moment)
        if len(self._told) > MAX_MARKS:
            for forgotten in self._told.drop(1):
                self._unsure(forgotten)

    def turn(self) -> None:
        self._cursor, self._link = self._next
        self._next = (None, None)
        if self._cursor is None and self._link is None:
            self._top = self._page
            self._clock.polled()

    def _unsure(self, moment: datetime | None) -> None:
        if moment is not None and (self._sure is None or moment > self._sure):
            self._sure = moment


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
