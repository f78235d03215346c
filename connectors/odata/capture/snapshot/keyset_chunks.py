"""Chunks that begin after a key, once a trial has shown that the service obeys order and filter."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import Any

from bridge.connector import Chunk
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import EQUAL_LOOKS_IN_A_ROW, seen_again
from bridge.model.errors import HistoryLost, Rejected, RetryLater
from connectors.odata.capture.snapshot.incomplete_walk import IncompleteWalk
from connectors.odata.capture.snapshot.row_counts import RowCounts
from connectors.odata.http.client import ODataClient
from connectors.odata.http.errors import is_refusal
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import KeysetTrial, paging_fault
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.query import can_page_by_key, query_options
from connectors.odata.protocol.response import EntityPage
from connectors.sql.read.key_values import pack_value, unpack_value

MAX_FAILURES = 3
"""Consecutive failures after which a request counts as refused: a deadlock is temporary."""

_Walk = tuple[str, str, str]
"""Entity set, filter and selected properties."""


class KeysetChunks:
    """For all sets of one service. `faults`: by set, why its pages can't begin after a key although the
    metadata allow it.
    """

    def __init__(self, client: ODataClient, counts: RowCounts, page_rows: int) -> None:
        self._client = client
        self._counts = counts
        #: Maximum rows per request.
        self._page_rows = page_rows
        self.faults: dict[str, str] = {}
        #: Sets that can be paged by key.
        self._tried: set[str] = set()
        self._pages: dict[str, KeysetPages] = {}
        #: Per walk under way: the count at its beginning, and rows read since.
        self._walks: dict[_Walk, tuple[int, int]] = {}

    async def fits(self, table: EntitySetTable, filtered: str) -> bool:
        """Whether pages of the set can begin after a key; tried once."""
        if not can_page_by_key(table) or table.name in self.faults:
            return False
        if table.name not in self._tried:
            trial = KeysetTrial(self._client, table, self._pages_of(table), filtered)
            fault = await trial.run()
            if fault is not None:
                self._tried.add(table.name)
            if fault:
                self.faults[table.name] = fault
                return False
        return True

    async def chunk(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """Up to `limit` rows after the key `after`, in key order. A temporary failure is retried, and
        counts as refused if it repeats. Raises AnswerMismatch, Rejected.
        """
        for _ in range(MAX_FAILURES - 1):
            try:
                return await self._keyed(table, filtered, after, limit, select)
            except AnswerMismatch:
                raise
            except Rejected as error:
                if is_refusal(error):
                    raise
        return await self._keyed(table, filtered, after, limit, select)

    async def _keyed(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """Read as many of the service's pages as `limit` rows need. Raises AnswerMismatch. Only an empty
        page is the end: some services return fewer rows than requested and no link to the others, and
        rows taken for missing would be deleted from the log.
        """
        walk = table.name, filtered, select
        if after is None:
            self._walks[walk] = await self._counts.count(table, filtered), 0
        rows: list[Row] = []
        cursor = None if after is None else [unpack_value(part) for part in after]
        while True:
            page_rows = await self._after(table, filtered, cursor, limit - len(rows), select)
            rows += page_rows
            if not page_rows:
                await self._ended(table, walk, len(rows), limit)
                return Chunk(table.shape, rows, None)
            cursor = list(table.key_of(page_rows[-1]))
            if len(rows) >= limit:
                self._walked(walk, len(rows))
                return Chunk(table.shape, rows, [pack_value(part) for part in cursor])

    async def _after(
        self,
        table: EntitySetTable,
        filtered: str,
        cursor: list[Any] | None,
        wanted: int,
        select: str,
        *,
        extra: int = 0,
    ) -> list[Row]:
        """Rows after a key, up to so many. Raises AnswerMismatch."""
        top = min(wanted, self._page_rows) + extra
        params = query_options(table, order=table.key, top=top, select=select)
        prefer = f"odata.maxpagesize={top}"
        pages = self._pages_of(table)
        page = await pages.page(self._client.page, params, cursor, filtered=filtered, prefer=prefer)
        page = await self._filled(table, page)
        rows = [complete_row(table, json) for json in page.rows]
        fault = paging_fault(table, list(map(table.key_of, rows)), cursor)
        if fault:
            raise AnswerMismatch(fault)
        following = [row for row in rows if list(table.key_of(row)) != cursor]
        if not following and len(rows) >= top and not extra:
            # A service that treats `gt` as `ge` returns the row of the cursor itself; others follow it.
            return await self._after(table, filtered, cursor, wanted, select, extra=1)
        return following[:wanted]

    def _walked(self, walk: _Walk, rows: int) -> None:
        if walk in self._walks:
            counted, read = self._walks[walk]
            self._walks[walk] = counted, read + rows

    async def _ended(self, table: EntitySetTable, walk: _Walk, rows: int, limit: int) -> None:
        """Check that a walk by key returned all rows, by the counts before and after it. Raises
        AnswerMismatch if fewer came repeatedly: once may be a deleted row and a new one.
        """
        if walk not in self._walks:
            return
        counted, read = self._walks.pop(walk)
        if read + rows >= counted or counted != await self._counts.count(table, walk[1]):
            return
        incomplete = await seen_again(
            partial(self._fewer_by_key, table, walk[1], limit), EQUAL_LOOKS_IN_A_ROW
        )
        if incomplete is not None:
            raise AnswerMismatch(
                f"the service counts {incomplete.counted} rows and gives {incomplete.rows} in the order of the "
                "key: it sorts in another order than it compares"
            )

    async def _fewer_by_key(
        self, table: EntitySetTable, filtered: str, limit: int
    ) -> IncompleteWalk | None:
        """All keys in their order, if they are fewer than the service counts before and after."""
        counted, rows, digest = await self._counts.count(table, filtered), 0, blake2b()
        cursor = None
        names = ",".join(table.set.key)
        # In pages of the same size: what is left out depends on where they end.
        while page := await self._after(table, filtered, cursor, limit - rows % limit, names):
            cursor = list(table.key_of(page[-1]))
            rows += len(page)
            digest.update(repr([table.key_of(row) for row in page]).encode())
        if rows < counted == await self._counts.count(table, filtered):
            return IncompleteWalk("", counted, rows, digest.digest())
        return None

    async def _filled(self, table: EntitySetTable, page: EntityPage) -> EntityPage:
        """The page, or the first one after it with rows: an empty page may come in the middle.

        Raises RetryLater if the service no longer knows its own link.
        """
        if page.rows or not page.next_link:
            return page
        try:
            async for later in self._client.further(page, table.name):
                page = later
                if page.rows:
                    break
        except HistoryLost as error:
            raise RetryLater(str(error)) from error
        return page

    def _pages_of(self, table: EntitySetTable) -> KeysetPages:
        return self._pages.setdefault(table.name, KeysetPages(table, table.key))
