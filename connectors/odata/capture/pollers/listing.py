"""Changes by comparing listings: for entity sets without a time of change.

What was emitted of each row is remembered in memory, as its key and a digest of its content. This fits
into the checkpoint for a small set. For a larger one it is lost with the process, so that after a start
the table has to be compared with the log (`Batch.stale`). Sets of more than `limit` rows aren't
remembered at all: they are compared with the log at each interval.
"""

from __future__ import annotations

import json as codec
import zlib
from base64 import b85decode, b85encode
from enum import Enum

from bridge.connector import CREATE, DELETE, UPDATE
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import HistoryLost, Rejected
from connectors.odata.capture.pollers.poller import (
    FINGERPRINT_BYTES,
    PollerState,
    PollPage,
    RowChange,
    digest_of,
)
from connectors.odata.http.errors import is_refusal
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import (
    BEYOND_EVERY_ROW,
    KeysetTrial,
    has_row_after,
    left_out_error,
    paging_fault,
)
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.query import can_page_by_key, query_options
from connectors.odata.protocol.response import EntityPage
from connectors.sql.read.key_values import pack_value, unpack_value

POLLS_PER_FULL_WALK = 20
"""One of this many polls asks for more rows even if the service's count is reached: the count may be
wrong.
"""


class _Phase(Enum):
    IDLE = "idle"
    READING = "reading"
    CLOSING = "closing"


class ListingPoller:
    """`connectors.odata.capture.pollers.poller.Poller`: reads all rows at each poll.

    If the service obeys `$filter` and `$orderby` (`keyset_trial`), each page begins after a key, until
    nothing comes or the service's count is reached. Otherwise its links are followed. `whole` is False if
    there are too many rows to be remembered; then only `stale` reports.
    """

    name = "listing"

    def __init__(self, reader: PageReader, table: EntitySetTable, *, page: int, limit: int) -> None:
        self.table = table
        self._reader = reader
        self._page = page
        self._limit = limit
        self._remembered: dict[Row, bytes] = {}
        self._listed: set[Row] = set()
        self._cursor: Row | None = None
        self._link: str | None = None
        self._followed = FollowedLinks()
        self._next: tuple[Row | None, str | None] | None = None
        self._phase = _Phase.IDLE
        self.whole = True
        self._keyed = can_page_by_key(table)
        self._pages = KeysetPages(table, table.key)
        self._tried = False
        #: Why pages can't begin after a key, although the metadata allow it.
        self._fault = ""
        #: The service counts rows, and its counts have been right.
        self._counts = table.set.countable
        #: Rows counted by the first page of this poll; rows of it read so far; links that it gave.
        self._total: int | None = None
        self._read_rows = self._links = 0
        #: By its last count, nothing follows.
        self._counted_short = False
        #: The key after which the counted page began.
        self._counted_after: Row | None = None
        #: Polls until more rows are asked for despite the count; whether this poll does so.
        self._looks_left = 0
        self._walks = True

    async def begin(self) -> str:
        """Remembers the rows that exist now."""
        self._remembered, self.whole, self._phase, self._looks_left = {}, True, _Phase.IDLE, 0
        more = True
        while more and self.whole:
            poll_page = await self.next_page()
            for item in poll_page.items:
                self.emitted(item)
            self.end_page()
            more = poll_page.more
        return ""

    def restore(self, state: PollerState) -> None:
        """What was remembered; a state without rows can't be resumed from."""
        text = zlib.decompress(b85decode(state["rows"]))
        remembered = {
            tuple(unpack_value(part) for part in key): bytes.fromhex(mark)
            for key, mark in codec.loads(text)
        }
        # Earlier releases remembered rows whose key was of another type; no event was emitted for those.
        self._remembered = {key: mark for key, mark in remembered.items() if self.table.is_key(key)}

    def saved(self, marks: int) -> PollerState:
        # A key takes about as much room as a fingerprint.
        if not self.whole or len(self._remembered) * 2 > marks:
            return {"rows": None}
        rows = [
            [[pack_value(part) for part in key], mark.hex()]
            for key, mark in self._remembered.items()
        ]
        text = b85encode(zlib.compress(codec.dumps(rows).encode())).decode()
        return {"rows": text if len(text) <= marks * FINGERPRINT_BYTES else None}

    async def next_page(self) -> PollPage:
        if not self.whole:
            return PollPage([], more=False)
        if self._phase is _Phase.IDLE:
            self._phase, self._listed = _Phase.READING, set()
            self._cursor, self._link = None, None
            self._total, self._read_rows, self._links = None, 0, 0
            self._walks, self._counted_short = not self._looks_left, False
            self._looks_left = (self._looks_left or POLLS_PER_FULL_WALK) - 1
            await self._try()
        if self._phase is _Phase.CLOSING:
            return self._gone()
        self._followed.at(self._link or "")
        page = await self._read()
        rows = [complete_row(self.table, json) for json in page.rows]
        items = []
        self._next = await self._following(rows, page)
        self._listed.update(self.table.key_of(row) for row in rows)
        for row in rows:
            key, mark = self.table.key_of(row), digest_of(row)
            digest = self._remembered.get(key)
            if digest != mark:
                items.append(RowChange(CREATE if digest is None else UPDATE, key, row, mark))
        return PollPage(items, more=True)

    def _gone(self) -> PollPage:
        """The last step of a poll: rows that existed before and were not listed."""
        gone = [key for key in self._remembered if key not in self._listed]
        return PollPage([RowChange(DELETE, key, None, digest_of(key)) for key in gone], more=False)

    async def _try(self) -> None:
        """Test once whether pages can begin after a key."""
        if self._keyed and not self._tried:
            fault = await KeysetTrial(self._reader, self.table, self._pages).run()
            self._tried = fault is not None
            if fault:
                self._keyed, self._fault = False, fault

    async def _read(self) -> EntityPage:
        prefer = f"odata.maxpagesize={self._page}"
        if self._link is not None:
            try:
                return await self._reader.page(self._link, prefer=prefer, absolute=True)
            except (HistoryLost, Rejected):
                # The service doesn't know its link any more: this poll begins again.
                self._phase = _Phase.IDLE
                raise
        if self._counts:
            try:
                return await self._first(prefer, counted=True, after=self._cursor)
            except Rejected:
                page = await self._uncounted(prefer)
                self._counts = False
                return page
        return await self._uncounted(prefer)

    async def _uncounted(self, prefer: str) -> EntityPage:
        try:
            return await self._first(prefer, counted=False, after=self._cursor)
        except Rejected as error:
            if self._keyed and is_refusal(error):
                # The next poll follows the service's links.
                self._keyed, self._fault = False, f"it refuses pages by key: {error}"
                self._phase = _Phase.IDLE
            raise

    async def _first(self, prefer: str, *, counted: bool, after: Row | None = None) -> EntityPage:
        """The page after a key, or the first one of all."""
        if not self._keyed:
            return await self._reader.page(
                self.table.name, query_options(self.table, counted=counted), prefer=prefer
            )
        params = query_options(self.table, order=self.table.key, top=self._page, counted=counted)
        return await self._pages.page(self._reader.page, params, after, prefer=prefer)

    async def _following(
        self, rows: list[Row], page: EntityPage
    ) -> tuple[Row | None, str | None] | None:
        """Where the next page begins; None: there is none. A short page counts as the last one only if as
        many rows came as the service counts: some services return fewer than requested, and no link to
        the others. Raises AnswerMismatch.
        """
        if self._link is None:
            self._total, self._read_rows = page.total, 0
        self._read_rows += len(rows)
        self._links += bool(page.next_link)
        if not self._keyed:
            return await self._by_link(page)
        keys = [self.table.key_of(row) for row in rows]
        fault = paging_fault(self.table, keys, self._cursor)
        if fault:
            # The next poll follows the service's links.
            self._keyed, self._fault, self._phase = False, fault, _Phase.IDLE
            raise AnswerMismatch(f"entity set {self.table.name!r}: {self._fault}")
        if not rows or keys[-1] == self._cursor:
            # A service may answer with an empty page in the middle.
            return self._linked(page)
        if self._counted_short:
            # By its count this was the end, and there are more rows; they may be new.
            self._counted_short = False
            self._counts = self._counts and await seen_again(self._miscounted) is None
        if page.next_link or not (self._counts and page.total is not None):
            return keys[-1], None
        self._counted_short = page.total <= len(rows)
        self._counted_after = self._cursor
        if self._counted_short and not self._walks:
            unmet = self._remembered.keys() - self._listed - set(keys)
            return (keys[-1], None) if unmet else None
        return keys[-1], None

    async def _by_link(self, page: EntityPage) -> tuple[Row | None, str | None] | None:
        if page.next_link:
            return self._linked(page)
        read = self._read_rows
        # Rows may be deleted while several pages are read.
        fewer = self._total is not None and self._total > read and not self._links
        if not fewer and not (self._total is None and self._walks and read and not self._links):
            return None
        beyond = await has_row_after(self._reader, self.table, "", read)
        if fewer and beyond is not False:
            raise self._refusal(
                f"it counts {self._total} rows, returns {read}, and has no link to further ones"
            )
        # Only a service that supports `$skip` can show that there are more; one may be new.
        if beyond and await seen_again(self._more_than_linked) is not None:
            raise self._refusal(f"it returns {read} rows, has more, and has no link to them")
        return None

    async def _more_than_linked(self) -> tuple[Row, ...] | None:
        """The rows of a first page without a link, where there are more."""
        page = await self._first("", counted=False)
        keys = tuple(self.table.key_of(complete_row(self.table, json)) for json in page.rows)
        if page.next_link or not await has_row_after(self._reader, self.table, "", len(keys)):
            return None
        return (
            keys
            if await has_row_after(self._reader, self.table, "", BEYOND_EVERY_ROW) is False
            else None
        )

    async def _miscounted(self) -> tuple[Row, ...] | None:
        """The rows of a page that is counted as the last one, and of the page after it."""
        prefer = f"odata.maxpagesize={self._page}"
        page = await self._first(prefer, counted=True, after=self._counted_after)
        keys = [self.table.key_of(complete_row(self.table, json)) for json in page.rows]
        if not keys or page.next_link or page.total is None or page.total > len(keys):
            return None
        beyond = await self._first(prefer, counted=False, after=keys[-1])
        more = [self.table.key_of(complete_row(self.table, json)) for json in beyond.rows]
        more = [key for key in more if key != keys[-1]]
        return (*keys, *more) if more else None

    def _linked(self, page: EntityPage) -> tuple[Row | None, str | None] | None:
        if not page.next_link:
            return None
        if not self._followed.lead_on(page.next_link):
            raise self._refusal("its links form a circle")
        return self._cursor, page.next_link

    def _refusal(self, fault: str) -> AnswerMismatch:
        self._phase = _Phase.IDLE
        return left_out_error(self.table, self._fault, fault)

    @property
    def size(self) -> int:
        """How many rows are remembered."""
        return len(self._remembered)

    def emitted(self, item: RowChange) -> None:
        if item.row is None:
            self._remembered.pop(item.key, None)
            return
        self._remembered[item.key] = item.mark
        if len(self._remembered) > self._limit:
            self._remembered, self.whole, self._phase = {}, False, _Phase.IDLE

    def end_page(self) -> None:
        if self._phase is _Phase.CLOSING:
            self._phase = _Phase.IDLE
        elif self._next is None:
            self._phase = _Phase.CLOSING
        else:
            self._cursor, self._link = self._next
