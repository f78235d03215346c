"""Pages of the rows from a timestamp on, in the order of (timestamp, key).

Each begins after the last row of the previous one; the service's own links often count rows, and skip a
row if another one moved meanwhile. They are followed only if keys can't be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bridge.connector.answer_check import AnswerSizes, first_misplaced
from bridge.model.errors import HistoryLost, Rejected
from connectors.odata.capture.pollers.service_clock import ServiceClock, timestamp_of
from connectors.odata.capture.pollers.timestamp_filter import (
    FINDS_NOTHING,
    LONG_AGO,
    TimestampFilter,
)
from connectors.odata.metadata.model import Property
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import KeysetTrial
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row
from connectors.odata.protocol.query import can_page_by_key, query_options, since_filter
from connectors.odata.protocol.response import EntityPage
from connectors.sql.read.key_values import pack_value, unpack_value

_END: tuple[None, None] = (None, None)
TIMESTAMP_TOLERANCE = timedelta(seconds=1)
"""By how much a row may be earlier than requested: services keep milliseconds, or seconds."""
PAGE_GROWTH = 4
"""Factor by which the page size grows if all rows of a page have one timestamp."""


class TimestampPages:
    """Used by one poller, one poll after the other.

    Order of calls: `begin` (or `restore`), then for each page `read`, `check`, `find_next` (while it
    returns False: the same again, with a larger page) and `advance`, until nothing `is_under_way`.

    page: how many rows a page has
    clock: is shown each answer
    begun: called whenever a poll begins, with the timestamp from which on it reads; also where it has to
        begin again
    """

    def __init__(
        self,
        reader: PageReader,
        table: EntitySetTable,
        timestamp: Property,
        *,
        page: int,
        clock: ServiceClock,
        begun: Callable[[datetime | None], None],
    ) -> None:
        self._reader = reader
        self._table = table
        self._timestamp = timestamp
        self._at = table.properties.index(timestamp)
        self._page = page
        self._clock = clock
        self._begun = begun
        self.filter = TimestampFilter(reader, table, timestamp)
        #: The timestamp from which on the poll reads; None: from the first.
        self.start: datetime | None = None
        #: The row after which the next page begins; the link, if keys can't be compared.
        self._cursor: list[Any] | None = None
        self._link: str | None = None
        self._next: tuple[list[Any] | None, str | None] = _END
        self._followed = FollowedLinks()
        #: The rows after which pages of this poll began: none twice, if the service obeys the filter.
        self._cursors: set[tuple[Any, ...]] = set()
        self._top = page
        self._keyed = can_page_by_key(table)
        self._pages = KeysetPages(table, [timestamp, *table.key])
        self._tried = self._links = False
        self._sizes = AnswerSizes()
        self._sampled = False

    @property
    def is_under_way(self) -> bool:
        """Whether a poll has begun, and is after its first page."""
        return self._cursor is not None or self._link is not None

    @property
    def has_next(self) -> bool:
        """Whether another page follows the one that was read last."""
        return self._next != _END

    def begin(self, start: datetime | None) -> None:
        """The next page is the first one from `start` on."""
        self.start, self._cursor, self._link = start, None, None
        self._cursors = set()
        self._begun(start)

    def forget(self) -> None:
        """No poll is under way."""
        self._cursor = self._link = None

    def restore(self, cursor: list[Any] | None, link: str | None, start: datetime | None) -> None:
        """Resume the poll that `saved` was under way in."""
        self._cursor = [unpack_value(part) for part in cursor] if cursor else None
        self._link, self.start = link, start
        if self._cursor is not None and len(self._cursor) != 1 + len(self._table.key):
            # It was asked by the timestamp alone, which may not be so any more.
            self._cursor = None

    def saved(self) -> dict[str, Any]:
        """Where the poll under way is; JSON-able."""
        return {
            "cursor": [pack_value(part) for part in self._cursor] if self._cursor else None,
            "link": self._link,
            "from": self.start.isoformat() if self.start else None,
        }

    async def newest(self) -> EntityPage:
        """The newest row with a timestamp. Raises AnswerMismatch if the service doesn't find it."""
        page = await self._newest()
        if not page.rows:
            # May find a form of the filter that the service obeys.
            await self.filter.check_finds_rows()
            page = await self._newest()
        return page

    async def try_keyset(self) -> None:
        """Test once whether pages can begin after a timestamp and a key. Raises AnswerMismatch."""
        if self._tried or not self._keyed:
            return
        if self._timestamp.name in self._table.set.key:
            return
        await self.filter.try_null()
        trial = KeysetTrial(self._reader, self._table, self._pages, self.filter.any_timestamp)
        fault = await trial.run()
        self._tried = fault is not None
        if trial.refused:
            # Keys that can't be compared (GUIDs, in some services): pages begin at a timestamp.
            self._keyed, fault = False, ""
            if self._cursor is not None:
                self.begin(self.start)
        if fault:
            raise self.filter.mismatch(fault)

    async def read(self) -> EntityPage:
        """The current page of the poll. The poll begins again if the service no longer knows its link."""
        self._followed.at(self._link or "")
        prefer = f"odata.maxpagesize={self._top}"
        if self._link is not None:
            try:
                return await self._page_of(self._link, prefer=prefer, absolute=True)
            except (HistoryLost, Rejected):
                self.begin(self.start)
        keyed = self._cursor if self._keyed else None
        if keyed is not None:
            filtered = ""
        elif self._cursor is not None:
            filtered = since_filter(self._table, self._timestamp, self._cursor[0])
        elif self.start is not None:
            filtered = since_filter(self._table, self._timestamp, self.start)
        else:
            filtered = self.filter.any_timestamp
        order = [self._timestamp, *self._table.key] if self._keyed else [self._timestamp]
        # Where the service's own links are followed, a $top would end them.
        top = self._top if self._keyed else None
        params = query_options(self._table, order=order, top=top)
        return await self._pages.page(
            self._page_of, params, keyed, filtered=filtered, prefer=prefer
        )

    async def check(self, rows: list[Row], page: EntityPage) -> None:
        """Compare a page with the request. Raises AnswerMismatch."""
        timestamps = [timestamp_of(row[self._at]) for row in rows]
        since = self.start if self._cursor is None else self._cursor[0]
        if since is not None and self._link is None:
            earliest = (
                since - TIMESTAMP_TOLERANCE
                if since > LONG_AGO.replace(tzinfo=since.tzinfo)
                else since
            )
            if any(at is None or at < earliest for at in timestamps):
                raise self.filter.mismatch("rows are older than `$filter` requests")
        stamps = [(at,) for at in timestamps if at is not None]
        if first_misplaced(stamps, distinct=False) is not None:
            raise self.filter.mismatch("rows are in another order than `$orderby` requests")
        if rows or page.next_link or self.is_under_way:
            return
        if self.start is None:
            await self.filter.check_finds_rows()
            return
        if await self.filter.overlooks(
            since_filter(self._table, self._timestamp, self.start), self.start
        ):
            raise self.filter.mismatch(FINDS_NOTHING)

    async def find_next(self, rows: list[Row], page: EntityPage, *, fresh: bool) -> bool:
        """Where the next page begins. False: after no other row, so that a larger one is read next.

        fresh: the page held something new
        """
        following = await self._following(rows, page, fresh=fresh)
        if following is None:
            # More rows than fit into a page have one timestamp, which the service shows with fewer digits
            # than it stores: the same rows follow again.
            self._top *= PAGE_GROWTH
            return False
        self._next = following
        return True

    def advance(self) -> None:
        """On to the next page, or to the end of the poll."""
        self._cursor, self._link = self._next
        self._next = _END
        if not self.is_under_way:
            self._top = self._page

    async def _newest(self) -> EntityPage:
        params = self.filter.newest(self.filter.any_timestamp, 1)
        return await self._page_of(self._table.name, params)

    async def _page_of(
        self,
        path: str,
        params: dict[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> EntityPage:
        begun = self._clock.now()
        response = await self._reader.get(path, params, prefer=prefer, absolute=absolute)
        page = self._reader.page_in(response)
        if page is None:
            raise Rejected(
                "refused",
                f"entity set {self._table.name!r}: the answer is no list of rows; is it an entity set?",
            )
        first = not self.is_under_way
        self._clock.answered(response.headers.get("date", ""), begun, first=first)
        return page

    async def _following(
        self, rows: list[Row], page: EntityPage, *, fresh: bool
    ) -> tuple[list[Any] | None, str | None] | None:
        """Where the next page begins; `_END`: there is none; None: after no other row.

        `fresh`: it held something new. If the service returns fewer rows than requested and no link to
        the others, it is asked for more until nothing new comes.
        """
        full = self._keyed and len(rows) >= self._top
        self._links = self._links or bool(page.next_link)
        if not (page.next_link or (rows and (full or fresh))) and not await self._may_be_cut(rows):
            return _END
        timestamp = timestamp_of(rows[-1][self._at]) if rows else None
        if timestamp is not None:
            cursor = [timestamp, *self._table.key_of(rows[-1])] if self._keyed else [timestamp]
            if tuple(cursor) not in self._cursors and cursor != self._cursor:
                self._cursors.add(tuple(cursor))
                return cursor, None
            # Rows of one timestamp come again if the service shows fewer digits than it stores.
            if self._cursor is not None and timestamp < self._cursor[0]:
                raise self.filter.mismatch("it returns the same rows after any row")
        if page.next_link:
            if not self._followed.lead_on(page.next_link):
                self.begin(self.start)
                raise self.filter.mismatch("its links form a circle")
            return self._cursor, page.next_link
        return None if full and timestamp is not None else _END

    async def _may_be_cut(self, rows: list[Row]) -> bool:
        """Whether more rows may follow a page of emitted rows that has no link."""
        if self._links or not self._sizes.may_be_cut(len(rows), self._top):
            return False
        if not self._sampled:
            # As many keys as come in one answer: fewer rows than those are no cut page.
            self._sampled = True
            params = query_options(
                self._table, top=self._page, select=",".join(self._table.set.key)
            )
            page = await self._reader.page(
                self._table.name, params, prefer=f"odata.maxpagesize={self._page}"
            )
            self._links = bool(page.next_link)
            self._sizes.may_be_cut(len(page.rows))
        return not self._links and self._sizes.may_be_cut(len(rows), self._top)
