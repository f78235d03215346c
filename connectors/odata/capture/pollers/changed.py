"""Changes by a property that every change raises, such as `modifiedAt`.

A change may become visible later than its timestamp: its transaction was long, or
another server's clock is late. So every poll begins `overlap` seconds before what the service's
clock showed at the previous poll; rows that were emitted already are recognised. A change is missed only
if it becomes visible more than `overlap` after its timestamp.

Which rows a poll reads, and in which pages: `connectors.odata.capture.pollers.timestamp_pages`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bridge.connector import CREATE, UPDATE
from connectors.odata.capture.pollers.poller import (
    PollerState,
    PollPage,
    ReportedRows,
    RowChange,
    digest_of,
)
from connectors.odata.capture.pollers.service_clock import ServiceClock, timestamp_of
from connectors.odata.capture.pollers.timestamp_pages import TimestampPages
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row

MAX_REMEMBERED_ROWS = 200_000
"""Rows emitted in one overlap whose content is remembered; some older ones are emitted twice."""


class ChangedPoller:
    """`connectors.odata.capture.pollers.poller.Poller`: reads rows from a timestamp on.

    Raises AnswerMismatch if the service ignores the filter or the order: then its answers don't show what
    has changed, and the set needs another method.
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
        names = [p.name for p in table.properties]
        self._at = names.index(changed)
        self._created = names.index(created) if created else None
        self._page = page
        self._clock = ServiceClock(overlap, monotonic)
        #: What was emitted from the start of the last poll on.
        self._reported = ReportedRows()
        #: Every emitted row with a later timestamp is in `_reported`; None: every one is.
        self._sure: datetime | None = None
        self._pages = TimestampPages(
            reader,
            table,
            table.properties[self._at],
            page=page,
            clock=self._clock,
            begun=self._forget_before,
        )
        #: The poll under way began before a restart, at an unknown time.
        self._resumed = False

    # -- where to begin --------------------------------------------------------------------

    async def begin(self) -> str:
        """Remembers which rows are in the overlap now, so that only later changes are emitted."""
        self._reported, self._sure, self._resumed = ReportedRows(), None, False
        self._pages.forget()
        self._clock.forget()
        await self._pages.filter.try_null()
        for json in (await self._pages.newest()).rows:
            self._clock.see(timestamp_of(complete_row(self.table, json)[self._at]))
        await self._pages.try_keyset()
        more = self._clock.latest is not None
        while more:
            poll_page = await self.next_page()
            for item in poll_page.items:
                self.emitted(item)
            self.end_page()
            more = poll_page.more
        return ""

    async def try_questions(self) -> None:
        """Test once whether the service obeys filter and order. Raises AnswerMismatch."""
        timestamp = self._pages.filter
        await timestamp.try_null()
        if not await timestamp.finds(timestamp.any_timestamp):
            await timestamp.check_finds_rows()
        await self._pages.try_keyset()

    def restore(self, state: PollerState) -> None:
        self._clock.restore(_moment(state["latest"]), state["behind"])
        # Their own timestamps are not kept: they are forgotten one overlap from now at the earliest.
        self._reported.restore(state["told"], self._clock.latest)
        self._sure = _moment(state["sure"])
        self._resumed = bool(state["cursor"]) or state["link"] is not None
        self._pages.restore(state["cursor"], state["link"], _moment(state["from"]))

    def saved(self, marks: int) -> PollerState:
        sure = self._sure if len(self._reported) <= marks else self._clock.latest
        return {
            "latest": _text(self._clock.latest),
            "behind": self._clock.behind,
            "told": self._reported.saved(marks),
            "sure": _text(sure),
            **self._pages.saved(),
        }

    # -- one page --------------------------------------------------------------------------

    async def next_page(self) -> PollPage:
        if not self._pages.is_under_way:
            self._pages.begin(self._start())
        await self._pages.try_keyset()
        stale = ""
        while True:
            page = await self._pages.read()
            while not self._pages.is_under_way and (back := self._clock.set_back()) is not None:
                stale = back.stale
                self._pages.begin(back.start)
                page = await self._pages.read()
            rows = [complete_row(self.table, json) for json in page.rows]
            await self._pages.check(rows, page)
            items = [self._item(row) for row in rows]
            items = [change for change in items if not self._reported.has(change)]
            if await self._pages.find_next(rows, page, fresh=bool(items)):
                return PollPage(items, more=self._pages.has_next, stale=stale)

    def _start(self) -> datetime | None:
        if self._resumed and self._pages.start is not None:
            # What became visible during the poll was perhaps before its next page.
            self._resumed = False
            return self._pages.start
        latest = self._clock.latest
        many = latest is not None and self._reported.at_least(latest) > self._page
        return self._clock.start(skip_latest=many)

    def _item(self, row: Row) -> RowChange:
        key = self.table.key_of(row)
        timestamp = row[self._at]
        aware = isinstance(timestamp, datetime) and timestamp.tzinfo is not None
        op = CREATE if self._is_new(row, key) else UPDATE
        return RowChange(op, key, row, digest_of(row), timestamp if aware else None)

    def _is_new(self, row: Row, key: Row) -> bool:
        """Whether the row was certainly never emitted since it was created: an emitted state would have a
        timestamp in the time that is remembered.
        """
        created = timestamp_of(row[self._created]) if self._created is not None else None
        if created is None or (self._sure is not None and created <= self._sure):
            return False
        is_reported, at = self._reported.of(key)
        return not is_reported or (at is not None and at < created)

    # -- what was emitted ------------------------------------------------------------------

    async def has_rows_without_timestamp(self) -> bool:
        """As `TimestampFilter.has_rows_without_timestamp`."""
        return await self._pages.filter.has_rows_without_timestamp()

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
        self._pages.advance()
        if not self._pages.is_under_way:
            self._clock.polled()

    def _forget_before(self, start: datetime | None) -> None:
        if start is not None:
            self._reported.before(start)
            self._unsure(start)

    def _unsure(self, timestamp: datetime | None) -> None:
        if timestamp is not None and (self._sure is None or timestamp > self._sure):
            self._sure = timestamp


def _text(timestamp: datetime | None) -> str | None:
    return timestamp.isoformat() if timestamp else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
