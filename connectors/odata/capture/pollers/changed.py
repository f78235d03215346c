"""Changes by a property that every change raises, such as `modifiedAt`.

A change may become visible later than its timestamp: its transaction was long, or
another server's clock is late. So every poll begins `overlap` seconds before what the service's
clock showed at the previous poll; rows that were emitted already are recognised. A change is missed
only where it becomes visible more than `overlap` after its timestamp.

Rows come in the order of (timestamp, key), each page after the last row of the previous one; the
service's own links often count rows, and skip one where another moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bridge.connector import CREATE, UPDATE
from bridge.connector.answer_check import AnswerSizes, first_misplaced
from bridge.model.errors import HistoryLost, Rejected
from connectors.odata.capture.pollers.poller import (
    PollerState,
    PollPage,
    ReportedRows,
    RowChange,
    digest_of,
)
from connectors.odata.capture.pollers.service_clock import ServiceClock, timestamp_of
from connectors.odata.capture.pollers.timestamp_filter import (
    FINDS_NOTHING,
    LONG_AGO,
    TimestampFilter,
)
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import KeysetTrial
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.query import can_page_by_key, query_options, since_filter
from connectors.odata.protocol.response import EntityPage
from connectors.sql.read.key_values import pack_value as kept
from connectors.sql.read.key_values import unpack_value as restored

MAX_REMEMBERED_ROWS = 200_000
"""Rows emitted in one overlap whose content is remembered; some older ones are emitted twice."""
_END: tuple[None, None] = (None, None)
TIMESTAMP_TOLERANCE = timedelta(seconds=1)
"""By which a row may be earlier than it was asked for: services keep milliseconds, or seconds."""
PAGE_GROWTH = 4
"""How much larger a page is asked for where one holds nothing but rows of one timestamp."""


class ChangedPoller:
    """`connectors.odata.capture.pollers.poller.Poller`: asks for rows from a timestamp on.

    Raises AnswerMismatch where the service doesn't heed that question, or the order: then nothing that
    it gives shows what has changed, and the set needs another way.
    """

    name = "changed"

    def __init__(
        self,
        reader: PageReader,
        table: EntitySetTable,
        changed: str,
        created: str | None,
        *,
        page: int,
        overlap: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.table = table
        self._reader = reader
        names = [p.name for p in table.properties]
        self._at = names.index(changed)
        self._timestamp = table.properties[self._at]
        self._created = names.index(created) if created else None
        self._page = page
        self._clock = ServiceClock(overlap, monotonic)
        #: What was emitted from the start of the last poll on.
        self._reported = ReportedRows()
        #: Every emitted row with a later timestamp is in `_reported`; None: every one is.
        self._sure: datetime | None = None
        #: After which row the next page of the poll under way begins; the link where keys can't.
        self._cursor: list[Any] | None = None
        self._link: str | None = None
        self._followed = FollowedLinks()
        self._from: datetime | None = None
        #: The poll under way began before a restart, nobody knows when.
        self._resumed = False
        self._next: tuple[list[Any] | None, str | None] = (None, None)
        self._stale = ""
        self._top = page
        self._keyed = can_page_by_key(table)
        self._pages = KeysetPages(table, [self._timestamp, *table.key])
        self._filter = TimestampFilter(reader, table, self._timestamp)
        #: After which rows pages of this poll began: none twice, where the service heeds the filter.
        self._cursors: set[tuple[Any, ...]] = set()
        self._tried = self._links = False
        self._sizes = AnswerSizes()
        self._sampled = False

    # -- where to begin --------------------------------------------------------------------

    async def begin(self) -> str:
        """Remembers which rows are in the overlap now, so that only later changes are emitted."""
        self._reported, self._sure, self._resumed = ReportedRows(), None, False
        self._cursor = self._link = None
        self._clock.forget()
        await self._filter.try_null()
        page = await self._page_of(
            self.table.name, self._filter.newest(self._filter.any_timestamp, 1)
        )
        if not page.rows:
            await self._filter.check_finds_rows()
            page = await self._page_of(
                self.table.name, self._filter.newest(self._filter.any_timestamp, 1)
            )
        for json in page.rows:
            self._clock.see(timestamp_of(complete_row(self.table, json)[self._at]))
        await self._try()
        more = self._clock.latest is not None
        while more:
            poll_page = await self.next_page()
            for item in poll_page.items:
                self.emitted(item)
            self.end_page()
            more = poll_page.more
        return ""

    async def try_questions(self) -> None:
        """See once whether the service heeds what is asked of it. Raises AnswerMismatch."""
        await self._filter.try_null()
        if not await self._filter.finds(self._filter.any_timestamp):
            await self._filter.check_finds_rows()
        await self._try()

    async def _try(self) -> None:
        """See once whether pages can begin after a timestamp and a key."""
        if self._tried or not self._keyed:
            return
        if self._timestamp.name in self.table.set.key:
            return
        await self._filter.try_null()
        trial = KeysetTrial(self._reader, self.table, self._pages, self._filter.any_timestamp)
        fault = await trial.run()
        self._tried = fault is not None
        if trial.refused:
            # Keys that can't be compared (GUIDs, in some services): pages begin at a timestamp.
            self._keyed, fault = False, ""
            if self._cursor is not None:
                self._poll_from(self._from)
        if fault:
            raise self._filter.mismatch(fault)

    def restore(self, state: PollerState) -> None:
        self._clock.restore(_moment(state["latest"]), state["behind"])
        # Their own timestamps are not kept: they are forgotten one overlap from now at the earliest.
        self._reported.restore(state["told"], self._clock.latest)
        self._sure = _moment(state["sure"])
        self._cursor = [restored(part) for part in state["cursor"]] if state["cursor"] else None
        self._link = state["link"]
        self._from = _moment(state["from"])
        self._resumed = self._cursor is not None or self._link is not None
        if self._cursor is not None and len(self._cursor) != 1 + len(self.table.key):
            # It was asked by the timestamp alone, which may not be so any more.
            self._cursor = None

    def saved(self, marks: int) -> PollerState:
        sure = self._sure if len(self._reported) <= marks else self._clock.latest
        return {
            "latest": _text(self._clock.latest),
            "behind": self._clock.behind,
            "told": self._reported.saved(marks),
            "sure": _text(sure),
            "cursor": [kept(part) for part in self._cursor] if self._cursor else None,
            "link": self._link,
            "from": _text(self._from),
        }

    # -- one page --------------------------------------------------------------------------

    async def next_page(self) -> PollPage:
        if self._cursor is None and self._link is None:
            self._poll_from(self._start())
        self._stale = ""
        await self._try()
        self._followed.at(self._link or "")
        while True:
            page = await self._read()
            rows = [complete_row(self.table, json) for json in page.rows]
            await self._hold(rows, page)
            items = [self._item(row) for row in rows]
            items = [change for change in items if not self._reported.has(change)]
            following = await self._following(rows, page, fresh=bool(items))
            if following is not None:
                break
            # More rows than a page have one timestamp, and the service shows less of it than it
            # keeps: after it come the same rows again.
            self._top *= PAGE_GROWTH
        self._next = following
        return PollPage(items, more=following != _END, stale=self._stale)

    async def _hold(self, rows: list[Row], page: EntityPage) -> None:
        """A page against what it was asked for. Raises AnswerMismatch."""
        timestamps = [timestamp_of(row[self._at]) for row in rows]
        since = self._from if self._cursor is None else self._cursor[0]
        if since is not None and self._link is None:
            earliest = (
                since - TIMESTAMP_TOLERANCE
                if since > LONG_AGO.replace(tzinfo=since.tzinfo)
                else since
            )
            if any(at is None or at < earliest for at in timestamps):
                raise self._filter.mismatch(
                    "rows came that are older than those that `$filter` asks for"
                )
        stamps = [(at,) for at in timestamps if at is not None]
        if first_misplaced(stamps, distinct=False) is not None:
            raise self._filter.mismatch("rows come in another order than `$orderby` asks for")
        first = self._cursor is None and self._link is None
        if rows or page.next_link or not first:
            return
        if self._from is None:
            await self._filter.check_finds_rows()
            return
        if await self._filter.overlooks(
            since_filter(self.table, self._timestamp, self._from), self._from
        ):
            raise self._filter.mismatch(FINDS_NOTHING)

    def _start(self) -> datetime | None:
        if self._resumed and self._from is not None:
            # What became visible during the poll was perhaps before its next page.
            self._resumed = False
            return self._from
        latest = self._clock.latest
        many = latest is not None and self._reported.at_least(latest) > self._page
        return self._clock.start(skip_latest=many)

    def _poll_from(self, start: datetime | None) -> None:
        self._from, self._cursor, self._link = start, None, None
        self._cursors = set()
        if start is not None:
            self._reported.before(start)
            self._unsure(start)

    async def _read(self) -> EntityPage:
        prefer = f"odata.maxpagesize={self._top}"
        if self._link is not None:
            try:
                return await self._page_of(self._link, prefer=prefer, absolute=True)
            except (HistoryLost, Rejected):
                # The service doesn't know its link any more: the poll begins again.
                self._poll_from(self._from)
        first = self._cursor is None
        keyed = self._cursor if self._keyed else None
        if keyed is not None:
            filtered = ""
        elif self._cursor is not None:
            filtered = since_filter(self.table, self._timestamp, self._cursor[0])
        elif self._from is not None:
            filtered = since_filter(self.table, self._timestamp, self._from)
        else:
            filtered = self._filter.any_timestamp
        order = [self._timestamp, *self.table.key] if self._keyed else [self._timestamp]
        # Where the service's own links are followed, a $top would end them.
        top = self._top if self._keyed else None
        params = query_options(self.table, order=order, top=top)
        page = await self._pages.page(
            self._page_of, params, keyed, filtered=filtered, prefer=prefer
        )
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
    ) -> EntityPage:
        begun = self._clock.now()
        response = await self._reader.get(path, params, prefer=prefer, absolute=absolute)
        page = self._reader.page_in(response)
        if page is None:
            raise Rejected(
                "refused", f"entity set {self.table.name!r}: no list of rows came; is it one?"
            )
        first = self._cursor is None and self._link is None
        self._clock.answered(response.headers.get("date", ""), begun, first=first)
        return page

    async def _following(
        self, rows: list[Row], page: EntityPage, *, fresh: bool
    ) -> tuple[list[Any] | None, str | None] | None:
        """Where the next page begins; `_END`: there is none; None: after no other row.

        `fresh`: it held something new. A service that gives fewer rows than were asked for, and no
        link to the others, is asked for more until it has nothing new.
        """
        full = self._keyed and len(rows) >= self._top
        self._links = self._links or bool(page.next_link)
        if not (page.next_link or (rows and (full or fresh))) and not await self._may_be_cut(rows):
            return _END
        timestamp = timestamp_of(rows[-1][self._at]) if rows else None
        if timestamp is not None:
            cursor = [timestamp, *self.table.key_of(rows[-1])] if self._keyed else [timestamp]
            if tuple(cursor) not in self._cursors and cursor != self._cursor:
                self._cursors.add(tuple(cursor))
                return cursor, None
            # Rows of one timestamp come again where the service shows less of it than it keeps.
            if self._cursor is not None and timestamp < self._cursor[0]:
                raise self._filter.mismatch(
                    "it gives the same rows, whatever they should come after"
                )
        if page.next_link:
            if not self._followed.lead_on(page.next_link):
                self._poll_from(self._from)
                raise self._filter.mismatch("its links lead in a circle")
            return self._cursor, page.next_link
        return None if full and timestamp is not None else _END

    async def _may_be_cut(self, rows: list[Row]) -> bool:
        """Whether more rows may follow a page of emitted rows, to which there is no link."""
        if self._links or not self._sizes.may_be_cut(len(rows), self._top):
            return False
        if not self._sampled:
            # As many keys as come in one answer: fewer rows than those are no cut page.
            self._sampled = True
            params = query_options(self.table, top=self._page, select=",".join(self.table.set.key))
            page = await self._reader.page(
                self.table.name, params, prefer=f"odata.maxpagesize={self._page}"
            )
            self._links = bool(page.next_link)
            self._sizes.may_be_cut(len(page.rows))
        return not self._links and self._sizes.may_be_cut(len(rows), self._top)

    def _item(self, row: Row) -> RowChange:
        key = self.table.key_of(row)
        timestamp = row[self._at]
        aware = isinstance(timestamp, datetime) and timestamp.tzinfo is not None
        op = CREATE if self._is_new(row, key) else UPDATE
        return RowChange(op, key, row, digest_of(row), timestamp if aware else None)

    def _is_new(self, row: Row, key: Row) -> bool:
        """Whether it was certainly not emitted since it was created: anything emitted of it would have a
        timestamp from which on everything is remembered.
        """
        created = timestamp_of(row[self._created]) if self._created is not None else None
        if created is None or (self._sure is not None and created <= self._sure):
            return False
        is_reported, at = self._reported.of(key)
        return not is_reported or (at is not None and at < created)

    # -- what was emitted ------------------------------------------------------------------

    async def has_rows_without_timestamp(self) -> bool:
        """As `TimestampFilter.has_rows_without_timestamp`."""
        return await self._filter.has_rows_without_timestamp()

    def emitted(self, item: RowChange) -> None:
        timestamp = timestamp_of(item.row[self._at]) if item.row else None
        if timestamp is None:
            return
        self._reported.add(item, timestamp)
        self._clock.see(timestamp)
        if len(self._reported) > MAX_REMEMBERED_ROWS:
            for forgotten in self._reported.drop(1):
                self._unsure(forgotten)

    def end_page(self) -> None:
        self._cursor, self._link = self._next
        self._next = (None, None)
        if self._cursor is None and self._link is None:
            self._top = self._page
            self._clock.polled()

    def _unsure(self, timestamp: datetime | None) -> None:
        if timestamp is not None and (self._sure is None or timestamp > self._sure):
            self._sure = timestamp


def _text(timestamp: datetime | None) -> str | None:
    return timestamp.isoformat() if timestamp else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
