"""Chunks by the service's own links; their end is compared with the service's own count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.keyset_trial import BEYOND_EVERY_ROW, has_row_after, left_out_error
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.query import query_options
from connectors.odata.protocol.response import EntityPage

LINK_CURSOR = "link"
"""First item of a cursor that is a position after one of the service's own links."""


def is_link_cursor(after: Sequence[Any]) -> bool:
    """Whether a cursor is a position in the service's own order: a key's numbers are packed as lists."""
    return len(after) > 2 and after[0] == LINK_CURSOR and isinstance(after[2], int)


class LinkChunks:
    """For all sets of one service. `faults`: by set, why its pages can't begin after a key."""

    def __init__(self, client: ODataClient, counts: RowCounts, faults: Mapping[str, str]) -> None:
        self._client = client
        self._counts = counts
        self._faults = faults
        #: By entity set, filter and selected properties.
        self._followed: defaultdict[tuple[str, str, str], FollowedLinks] = defaultdict(
            FollowedLinks
        )

    async def chunk(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """The rest of a page, or the next one: `after` is [LINK_CURSOR, link or "", rows to skip, rows
        read, rows counted at the beginning]. From the beginning if the service no longer knows its link.
        Raises AnswerMismatch.
        """
        _, link, skip, *more = after or [
            LINK_CURSOR,
            "",
            0,
            0,
            await self._counts.count(table, filtered),
        ]
        # Checkpoints of earlier versions have neither.
        read, counted = more or (None, 0)
        prefer = f"odata.maxpagesize={limit}"
        followed, restarted = self._followed[table.name, filtered, select], not link
        while True:
            followed.at(link)
            try:
                page = await self._page(table, filtered, link, prefer)
            except (HistoryLost, Rejected) as error:
                if not link:
                    raise
                if restarted:
                    raise RetryLater(str(error)) from error
                link, skip, read, restarted = "", 0, 0, True
                continue
            page_rows = [complete_row(table, json) for json in page.rows[skip : skip + limit]]
            read = None if read is None else read + len(page_rows)
            if skip + len(page_rows) < len(page.rows):
                return Chunk(
                    table.shape,
                    page_rows,
                    [LINK_CURSOR, link, skip + len(page_rows), read, counted],
                )
            if not page.next_link:
                await self._all_linked(table, filtered, read, counted, limit)
                return Chunk(table.shape, page_rows, None)
            if not followed.lead_on(page.next_link):
                raise self._refusal(table, "its links form a circle")
            if page_rows:
                return Chunk(
                    table.shape, page_rows, [LINK_CURSOR, page.next_link, 0, read, counted]
                )
            # A service may answer with an empty page in the middle; a chunk never is one.
            link, skip = page.next_link, 0

    async def _all_linked(
        self, table: EntitySetTable, filtered: str, read: int | None, counted: int, limit: int
    ) -> None:
        """The last page has no link, but more rows may exist. Raises AnswerMismatch if the service counts
        more, or has more after `$skip`: in one answer, or repeatedly.
        """
        if read is None or not await self._end_fault(table, filtered, read, counted):
            return
        if fault := await self._cut_fault(table, filtered, limit):
            raise self._refusal(table, fault)
        incomplete = await seen_again(
            partial(self._fewer_by_links, table, filtered, limit), EQUAL_LOOKS_IN_A_ROW
        )
        if incomplete is not None:
            raise self._refusal(table, incomplete.fault)

    async def _end_fault(
        self, table: EntitySetTable, filtered: str, read: int, counted: int
    ) -> str:
        """What is wrong with an end after `read` rows when `counted` were counted before; "": nothing.
        Rows that were created or deleted meanwhile have the same effect.
        """
        fewer = read < min(counted, await self._counts.count(table, filtered))
        beyond = await has_row_after(self._client, table, filtered, read)
        if fewer and beyond is not False:
            return f"it counts {counted} rows, returns {read}, and has no link to further ones"
        if (
            not counted
            and beyond
            and await has_row_after(self._client, table, filtered, BEYOND_EVERY_ROW) is False
        ):
            return f"it returns {read} rows, has more, and has no link to them"
        return ""

    async def _cut_fault(self, table: EntitySetTable, filtered: str, limit: int) -> str:
        """The fault of an answer that counts more rows than it has, without a link."""
        if not table.set.countable:
            return ""
        params = query_options(table, filtered=filtered, counted=True)
        try:
            page = await self._client.page(table.name, params, prefer=f"odata.maxpagesize={limit}")
        except Rejected:
            return ""
        rows = len(page.rows)
        if page.next_link or page.total is None or page.total <= rows:
            return ""
        if await has_row_after(self._client, table, filtered, rows) is False:
            return ""
        return f"it counts {page.total} rows, returns {rows}, and has no link to further ones"

    async def _fewer_by_links(
        self, table: EntitySetTable, filtered: str, limit: int
    ) -> IncompleteWalk | None:
        """All keys by the service's links, if more rows exist."""
        counted, rows, digest = await self._counts.count(table, filtered), 0, blake2b()
        followed, link = FollowedLinks(), ""
        try:
            while followed.lead_on(link):
                page = await self._page(table, filtered, link, f"odata.maxpagesize={limit}")
                keys = [table.key_of(complete_row(table, json)) for json in page.rows]
                rows += len(keys)
                digest.update(repr(keys).encode())
                link = page.next_link or ""
        except (HistoryLost, Rejected):
            return None
        fault = await self._end_fault(table, filtered, rows, counted)
        return IncompleteWalk(fault, counted, rows, digest.digest()) if fault else None

    def _refusal(self, table: EntitySetTable, fault: str) -> AnswerMismatch:
        return left_out_error(table, self._faults.get(table.name, ""), fault)

    async def _page(
        self, table: EntitySetTable, filtered: str, link: str, prefer: str
    ) -> EntityPage:
        if link:
            return await self._client.page(link, prefer=prefer, absolute=True)
        return await self._client.page(
            table.name, query_options(table, filtered=filtered), prefer=prefer
        )
