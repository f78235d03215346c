"""Changes by a property that every change raises, such as `modifiedAt`.

A change may become visible later than the moment that it carries: its transaction was long, or
another server's clock is behind. So every look begins `overlap` seconds before the latest moment
seen; rows that were told already are recognised by their content. A change is missed only where
it becomes visible more than `overlap` after the moment that it carries.

Rows come in the order of (moment, key), each page behind the last row of the one before; the
service's own links often count rows, and skip one where another moved behind it meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import CREATE, UPDATE
from connectors.odata.answer import Page
from connectors.odata.asking import behind, from_moment, key_can_page, query
from connectors.odata.moments import instant
from connectors.odata.polling import Asks, Item, State, Step, mark_of, packed, unpacked
from connectors.odata.table import Row, Table
from connectors.odata.tables import whole
from connectors.sql.keys import packed as kept
from connectors.sql.keys import unpacked as restored

MAX_MARKS = 200_000
"""Rows told in one overlap of which the content is remembered; of older ones some come twice."""
_FINER = re.compile(r"(\.\d{6})\d+")
GROWTH = 4
"""How much larger a page is asked for where one holds nothing but rows of one moment."""


class ChangedPoller:
    """`connectors.odata.polling.Poller`: asks for rows from a moment on."""

    name = "changed"
    tells_deletes = False

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
        self._overlap = timedelta(seconds=overlap)
        self._monotonic = monotonic
        #: The latest moment seen, and when it was seen first.
        self._latest: datetime | None = None
        self._since = 0.0
        #: What was told from the overlap on, by mark, oldest first.
        self._told: dict[bytes, datetime] = {}
        #: Behind which row the next page of the poll under way begins; the link where keys can't.
        self._cursor: list[Any] | None = None
        self._link: str | None = None
        self._from: datetime | None = None
        self._known: datetime | None = None
        self._next: tuple[list[Any] | None, str | None] = (None, None)
        self._top = page
        #: Keys that were told in the poll under way.
        self._new: set[bytes] = set()
        self._keyed = key_can_page(table)

    # -- where to begin --------------------------------------------------------------------

    async def begin(self) -> str:
        """Remembers what stands in the overlap by now, so that only what follows is told."""
        p = self._moment
        params = query(self.table, filtered=f"{p.name} ne null", top=1)
        params["$orderby"] = f"{p.name} desc"
        page = await self._asks.page(self.table.name, params)
        self._latest, self._told, self._cursor, self._link = None, {}, None, None
        for json in page.rows:
            moment = floor(whole(self.table, json)[self._at])
            if moment is not None:
                self._see(moment)
        more = self._latest is not None
        while more:
            step = await self.step()
            for item in step.items:
                self.took(item)
            self.turn()
            more = step.more
        return ""

    def restore(self, state: State) -> None:
        latest = state["latest"]
        self._latest = datetime.fromisoformat(latest) if latest else None
        self._since = self._monotonic()
        # Their own moments are not kept: they are forgotten one overlap from now at the earliest.
        if self._latest is not None:
            self._told = dict.fromkeys(unpacked(state["told"]), self._latest)
        self._cursor = [restored(one) for one in state["cursor"]] if state["cursor"] else None
        self._link = state["link"]
        self._from = datetime.fromisoformat(state["from"]) if state["from"] else None
        self._known = self._latest

    def saved(self, marks: int) -> State:
        newest = list(self._told)[-marks:] if marks else []
        return {
            "latest": self._latest.isoformat() if self._latest else None,
            "told": packed(newest),
            "cursor": [kept(one) for one in self._cursor] if self._cursor else None,
            "link": self._link,
            "from": self._from.isoformat() if self._from else None,
        }

    def _start(self) -> datetime | None:
        """From which moment on a poll that begins now has to ask.

        What becomes visible from now on carries a moment at most `overlap` ago. The service's
        clock showed at least the latest moment when that was seen, and has gone on since. The
        latest moment itself is asked for again, in case a clock was set back a little, unless
        too many rows carry it.
        """
        if self._latest is None:
            return None
        passed = timedelta(seconds=max(0.0, self._monotonic() - self._since))
        start = self._latest - self._overlap + passed
        if start <= self._latest:
            return start
        last = sum(at == self._latest for at in self._told.values())
        return self._latest if last <= self._page else start

    # -- one page --------------------------------------------------------------------------

    async def step(self) -> Step:
        if self._cursor is None and self._link is None:
            self._from, self._known = self._start(), self._latest
            self._new.clear()
            self._forget()
        while True:
            page = await self._read()
            rows = [whole(self.table, json) for json in page.rows]
            following = self._following(rows, page)
            if following is not None:
                break
            # More rows than a page carry one moment, and the service shows less of it than it
            # keeps: behind it are the same rows again.
            self._top *= GROWTH
        self._next = following
        items = [self._item(row) for row in rows]
        return Step([one for one in items if one.mark not in self._told], more=any(following))

    async def _read(self) -> Page:
        prefer = f"odata.maxpagesize={self._top}"
        if self._link is not None:
            return await self._asks.page(self._link, prefer=prefer, absolute=True)
        if self._cursor is not None:
            filtered = behind(self.table, [self._moment, *self.table.key], self._cursor)
        elif self._from is not None:
            filtered = from_moment(self.table, self._moment, self._from)
        else:
            filtered = f"{self._moment.name} ne null"
        order = [self._moment, *self.table.key] if self._keyed else [self._moment]
        # Where the service's own links are followed, a $top would end them.
        top = self._top if self._keyed else None
        params = query(self.table, filtered=filtered, order=order, top=top)
        return await self._asks.page(self.table.name, params, prefer=prefer)

    def _following(self, rows: list[Row], page: Page) -> tuple[list[Any] | None, str | None] | None:
        """Where the next page begins; nothing twice: there is none; None: behind no other row."""
        if not page.next_link and (not self._keyed or len(rows) < self._top):
            return None, None
        moment = floor(rows[-1][self._at]) if rows else None
        if not self._keyed or moment is None:
            return None, page.next_link
        cursor = [moment, *self.table.key_of(rows[-1])]
        if cursor != self._cursor:
            return cursor, None
        return (None, page.next_link) if page.next_link else None

    def _item(self, row: Row) -> Item:
        key = self.table.key_of(row)
        moment = row[self._at]
        aware = isinstance(moment, datetime) and moment.tzinfo is not None
        op = CREATE if self._is_new(row, key) else UPDATE
        return Item(op, key, row, mark_of(row), moment if aware else None)

    def _is_new(self, row: Row, key: Row) -> bool:
        """Whether it was made after all that was seen before this poll: so it was never told."""
        made = floor(row[self._created]) if self._created is not None else None
        if made is None or (self._known is not None and made <= self._known):
            return False
        return mark_of(key) not in self._new

    async def blind(self) -> bool:
        """Whether there are rows without a moment, which no look brings."""
        params = query(self.table, filtered=f"{self._moment.name} eq null", top=1)
        return bool((await self._asks.page(self.table.name, params)).rows)

    # -- what was told ---------------------------------------------------------------------

    def took(self, item: Item) -> None:
        row = item.row or ()
        moment = floor(row[self._at]) if row else None
        if moment is None:
            return
        self._told[item.mark] = moment
        self._new.add(mark_of(item.key))
        self._see(moment)
        if len(self._told) > MAX_MARKS:
            del self._told[next(iter(self._told))]

    def turn(self) -> None:
        self._cursor, self._link = self._next
        self._next = (None, None)
        if self._cursor is None and self._link is None:
            self._top = self._page

    def _see(self, moment: datetime) -> None:
        if self._latest is None or moment > self._latest:
            self._latest, self._since = moment, self._monotonic()

    def _forget(self) -> None:
        """What no look will bring again."""
        start = self._from
        if start is not None:
            self._told = {mark: at for mark, at in self._told.items() if at >= start}


def floor(value: Any) -> datetime | None:
    """A moment, also one finer than microseconds (which a row keeps as text), cut down to them."""
    if isinstance(value, str):
        found = _FINER.sub(r"\1", value)
        try:
            return instant(found)
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None
