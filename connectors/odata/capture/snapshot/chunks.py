"""Entity sets in key-ordered chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from bridge.connector import Chunk, Condition, System
from bridge.connector.answer_check import AnswerMismatch, first_foreign
from bridge.connector.seen_again import IN_A_ROW, seen_again
from bridge.model.errors import ConfigurationError, HistoryLost, Rejected, RetryLater
from connectors.odata.capture.options import ODataOptions, options_of
from connectors.odata.http.client import ODataClient
from connectors.odata.http.status_errors import is_refusal
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.keyset_trial import (
    BEYOND_EVERY_ROW,
    KeysetTrial,
    has_row_after,
    paging_fault,
)
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.query import (
    can_page_by_key,
    condition_filter,
    condition_values,
    query_options,
)
from connectors.odata.protocol.response import EntityPage, page_of, row_count
from connectors.odata.protocol.row_check import as_row_value
from connectors.sql.read.key_values import pack_value, unpack_value

LINK_CURSOR = "link"
"""What a cursor begins with that is a place behind one of the service's own links."""


MAX_FAILURES = 3
"""Failures of one question in a row after which it counts as refused: a deadlock passes by itself."""


def is_link_cursor(after: Sequence[Any]) -> bool:
    """Whether a cursor is a place in the service's own order: a key's numbers are packed as lists."""
    return len(after) > 2 and after[0] == LINK_CURSOR and isinstance(after[2], int)


class IncompleteWalk(NamedTuple):
    """Rows that a walk gave, of so many that are counted; a digest of their keys, in order."""

    fault: str
    counted: int
    rows: int
    digest: bytes


class ODataSnapshot:
    """`bridge.connector.Snapshot` and `ListsKeys`.

    Each chunk begins after the last key (`$filter`, `$orderby`), once it has been seen that the service
    heeds both (`keyset_trial`) and as long as its pages show it. Otherwise, and where the metadata says
    that a set can't be asked so, the service's own links are followed, in its own order, and their end
    is held against the service's own count. What holds neither way is refused with AnswerMismatch.
    """

    def __init__(self, system: System, client: ODataClient | None = None) -> None:
        self._system = system
        self._client = client or ODataClient(system)
        self._tables = EntitySetTables(system)
        #: Sets that can be paged by key, and why others can't be.
        self._tried: set[str] = set()
        self._faults: dict[str, str] = {}
        self._pages: dict[str, KeysetPages] = {}
        #: Sets whose rows the service doesn't count, and why.
        self._uncounted: dict[str, str] = {}
        #: No more rows than these are asked for at once.
        self._page_rows = options_of(system.options).page if system.options else ODataOptions().page
        #: Of each walk under way: what was counted at its beginning, and rows read since.
        self._walks: dict[tuple[str, str, str], tuple[int, int]] = {}
        #: Of each walk by links.
        self._followed: defaultdict[tuple[str, str, str], FollowedLinks] = defaultdict(
            FollowedLinks
        )

    async def count(self, table: str, where: Condition | None) -> int:
        """The number of rows, counted by the service; 0 where it doesn't count."""
        entity_table = await self._table(table)
        return await self._count(
            entity_table, condition_filter(entity_table, where) if where else ""
        )

    async def _count(self, table: EntitySetTable, filtered: str) -> int:
        """As `count`: in an answer to a question for rows, or else by `/$count`. Raises RetryLater where
        nothing else is answered either.
        """
        if not table.set.countable or table.name in self._uncounted:
            return 0
        try:
            return await self._counted(table, filtered)
        except (Rejected, RetryLater) as error:
            if isinstance(error, RetryLater) and error.after is not None:
                raise
            counted = await self._counted_alone(table, filtered)
            if counted is not None:
                return counted
            # Whatever else is wrong shows here: an outage, or a filter that is refused.
            await self._client.page(table.name, query_options(table, filtered=filtered, top=1))
            self._uncounted[table.name] = str(error)
            return 0

    async def _counted(self, table: EntitySetTable, filtered: str) -> int:
        params = query_options(
            table, filtered=filtered, top=0, select=table.set.key[0], counted=True
        )
        body = (await self._client.get(table.name, params)).body
        page = page_of(body)
        if page is not None and page.total is not None:
            return page.total
        # V2 may leave the list out where no row of it was asked for.
        inside = body.get("d") if isinstance(body, dict) else None
        return (row_count(inside.get("__count")) or 0) if isinstance(inside, dict) else 0

    async def _counted_alone(self, table: EntitySetTable, filtered: str) -> int | None:
        params = {"$filter": filtered} if filtered else {}
        try:
            body = (await self._client.get(f"{table.name}/$count", params)).body
        except (Rejected, RetryLater):
            return None
        text = (
            body.decode(errors="replace").strip("\ufeff \r\n") if isinstance(body, bytes) else body
        )
        return row_count(text) or None

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """As `bridge.connector.Snapshot.chunk`. Raises AnswerMismatch where the service ignores what
        would make sure that no row is left out.
        """
        entity_table = await self._table(table)
        return await self._read(entity_table, where, after, limit, entity_table.select)

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `bridge.connector.ListsKeys.keys`. Raises as `chunk`."""
        entity_table = await self._table(table)
        chunk = await self._read(entity_table, None, after, limit, ",".join(entity_table.set.key))
        chunk.rows = [entity_table.only_key(entity_table.key_of(row)) for row in chunk.rows]
        return chunk

    async def _read(
        self,
        table: EntitySetTable,
        where: Condition | None,
        after: list[Any] | None,
        limit: int,
        select: str,
    ) -> Chunk:
        filtered = condition_filter(table, where) if where else ""
        linked = after is not None and is_link_cursor(after)
        refusal = ""
        if not linked and await self._pages_by_key(table, filtered):
            try:
                chunk = await self._keyed_or_refused(table, filtered, after, limit, select)
            except AnswerMismatch as error:
                self._faults[table.name] = str(error)
            except Rejected as error:
                refusal = f"it refuses pages by key: {error}"
            else:
                self._hold(table, where, chunk.rows)
                return chunk
        # What was read in an order that doesn't hold is read again.
        try:
            chunk = await self._linked(table, filtered, after if linked else None, limit, select)
        except AnswerMismatch:
            raise
        except Rejected as error:
            fault = refusal or self._faults.get(table.name, "")
            if not fault:
                raise
            words = (
                f"entity set {table.name!r} can't be read: {fault}; and by its own links: {error}"
            )
            raise Rejected(error.code, words) from error
        if refusal:
            self._faults[table.name] = refusal
        self._hold(table, where, chunk.rows)
        return chunk

    async def _keyed_or_refused(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """As `_keyed`. What fails by itself is asked again, and counts as refused where it fails always."""
        for _ in range(MAX_FAILURES - 1):
            try:
                return await self._keyed(table, filtered, after, limit, select)
            except AnswerMismatch:
                raise
            except Rejected as error:
                if is_refusal(error):
                    raise
        return await self._keyed(table, filtered, after, limit, select)

    async def try_questions(self, table: str) -> None:
        """Ask once what a snapshot will ask: the number of rows, its first page, and a row after that.
        Raises AnswerMismatch, Rejected where not all rows of the table can be had.
        """
        entity_table = await self._table(table)
        await self.count(table, None)
        chunk = await self._read(entity_table, None, None, self._page_rows, entity_table.select)
        if chunk.last is not None:
            # A page by links comes whole, whatever is asked for.
            await self._read(entity_table, None, chunk.last, 1, entity_table.select)

    def fault(self, table: str) -> str:
        """Why pages of a table can't begin after a key, though the metadata says that they can."""
        return self._faults.get(table, "")

    def uncounted(self, table: str) -> str:
        """Why the rows of a table aren't counted, though the metadata says that they can be."""
        return self._uncounted.get(table, "")

    def most_rows(self, table: str) -> int | None:
        """How many rows of a table the service gives at most for one question, where fewer than asked."""
        return self._client.top_limits.of(table)

    async def _pages_by_key(self, table: EntitySetTable, filtered: str) -> bool:
        if not can_page_by_key(table) or table.name in self._faults:
            return False
        if table.name not in self._tried:
            trial = KeysetTrial(self._client, table, self._pages_of(table), filtered)
            fault = await trial.run()
            if fault is not None:
                self._tried.add(table.name)
            if fault:
                self._faults[table.name] = fault
                return False
        return True

    def _hold(self, table: EntitySetTable, where: Condition | None, rows: Sequence[Row]) -> None:
        """Rows against the condition. Raises AnswerMismatch."""
        names = [p.name for p in table.properties]
        for name, wanted in (where or {}).items():
            if name not in names:
                continue
            p = table.set.properties[name]
            choices = [
                (as_row_value(p, table.version, value),) for value in condition_values(wanted)
            ]
            index = names.index(name)
            if first_foreign([(row[index],) for row in rows], choices) is not None:
                raise AnswerMismatch(
                    f"entity set {table.name!r}: rows came whose {name} was not asked for: the service "
                    "doesn't heed `$filter`; take the snapshot without a condition"
                )

    def _pages_of(self, table: EntitySetTable) -> KeysetPages:
        return self._pages.setdefault(table.name, KeysetPages(table, table.key))

    async def _table(self, name: str) -> EntitySetTable:
        service = await self._client.metadata()
        try:
            return self._tables.of(service, name)
        except ConfigurationError:
            # It may have come since the metadata were read.
            client, self._client = self._client, ODataClient(self._system)
            await client.close()
            return self._tables.of(await self._client.metadata(), name)

    async def _keyed(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """As many of the service's pages as `limit` rows take. Raises AnswerMismatch.

        The end is where nothing comes: some services give fewer rows than they were asked for, and
        no link to the others, and what is taken for missing would be deleted from the log.
        """
        walk = table.name, filtered, select
        if after is None:
            self._walks[walk] = await self._count(table, filtered), 0
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
            # A service that takes `gt` for `ge` gives the row of the cursor itself; others are after it.
            return await self._after(table, filtered, cursor, wanted, select, extra=1)
        return following[:wanted]

    def _walked(self, walk: tuple[str, str, str], rows: int) -> None:
        if walk in self._walks:
            counted, read = self._walks[walk]
            self._walks[walk] = counted, read + rows

    async def _ended(
        self, table: EntitySetTable, walk: tuple[str, str, str], rows: int, limit: int
    ) -> None:
        """All rows by key, of which there were as many at the beginning and are now. Raises
        AnswerMismatch where it gave fewer, and does so again and again: once may be a row that went
        before it was reached and one that came behind the pages.
        """
        if walk not in self._walks:
            return
        counted, read = self._walks.pop(walk)
        if read + rows >= counted or counted != await self._count(table, walk[1]):
            return
        incomplete = await seen_again(partial(self._fewer_by_key, table, walk[1], limit), IN_A_ROW)
        if incomplete is not None:
            raise AnswerMismatch(
                f"the service counts {incomplete.counted} rows and gives {incomplete.rows} in the order of the "
                "key: it sorts in another way than it compares"
            )

    async def _fewer_by_key(
        self, table: EntitySetTable, filtered: str, limit: int
    ) -> IncompleteWalk | None:
        """All keys in their order, where they are fewer than the service counts before and after."""
        counted, rows, digest = await self._count(table, filtered), 0, blake2b()
        cursor = None
        names = ",".join(table.set.key)
        # In pages of the same size: what is left out depends on where they end.
        while page := await self._after(table, filtered, cursor, limit - rows % limit, names):
            cursor = list(table.key_of(page[-1]))
            rows += len(page)
            digest.update(repr([table.key_of(row) for row in page]).encode())
        if rows < counted == await self._count(table, filtered):
            return IncompleteWalk("", counted, rows, digest.digest())
        return None

    async def _filled(self, table: EntitySetTable, page: EntityPage) -> EntityPage:
        """The page, or the first one behind it with rows: one without may stand in the middle.

        Raises RetryLater where the service doesn't know its own link any more.
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

    async def _linked(
        self, table: EntitySetTable, filtered: str, after: list[Any] | None, limit: int, select: str
    ) -> Chunk:
        """The rest of a page, or the next one: `after` is [LINK, link or "", rows to skip, rows read,
        rows counted at the beginning]. From the beginning where the service doesn't know its link any
        more. Raises AnswerMismatch.
        """
        _, link, skip, *more = after or [LINK_CURSOR, "", 0, 0, await self._count(table, filtered)]
        # Checkpoints of earlier versions tell neither.
        read, counted = more or (None, 0)
        prefer = f"odata.maxpagesize={limit}"
        followed, anew = self._followed[table.name, filtered, select], not link
        while True:
            followed.at(link)
            try:
                page = await self._page(table, filtered, link, prefer)
            except (HistoryLost, Rejected) as error:
                if not link:
                    raise
                if anew:
                    raise RetryLater(str(error)) from error
                link, skip, read, anew = "", 0, 0, True
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
                raise self._refusal(table, "its links lead in a circle")
            if page_rows:
                return Chunk(
                    table.shape, page_rows, [LINK_CURSOR, page.next_link, 0, read, counted]
                )
            # A service may answer with an empty page in the middle; a chunk never is one.
            link, skip = page.next_link, 0

    async def _all_linked(
        self, table: EntitySetTable, filtered: str, read: int | None, counted: int, limit: int
    ) -> None:
        """The last page has no link to another one: more rows may be there all the same. Raises
        AnswerMismatch where the service counts more, or has more when so many are skipped: in one
        answer, or again and again.
        """
        if read is None or not await self._end_fault(table, filtered, read, counted):
            return
        if fault := await self._cut_fault(table, filtered, limit):
            raise self._refusal(table, fault)
        incomplete = await seen_again(
            partial(self._fewer_by_links, table, filtered, limit), IN_A_ROW
        )
        if incomplete is not None:
            raise self._refusal(table, incomplete.fault)

    async def _end_fault(
        self, table: EntitySetTable, filtered: str, read: int, counted: int
    ) -> str:
        """What is wrong with an end after so many rows, of which so many were counted before; ""
        where nothing is. Rows that came or went meanwhile look the same.
        """
        fewer = read < min(counted, await self._count(table, filtered))
        beyond = await has_row_after(self._client, table, filtered, read)
        if fewer and beyond is not False:
            return f"it counts {counted} rows, gives {read}, and links to no further ones"
        if (
            not counted
            and beyond
            and await has_row_after(self._client, table, filtered, BEYOND_EVERY_ROW) is False
        ):
            return f"it gives {read} rows, has more, and links to none of them"
        return ""

    async def _cut_fault(self, table: EntitySetTable, filtered: str, limit: int) -> str:
        """What one answer shows that counts more rows than it holds, and links to none."""
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
        return f"it counts {page.total} rows, gives {rows}, and links to no further ones"

    async def _fewer_by_links(
        self, table: EntitySetTable, filtered: str, limit: int
    ) -> IncompleteWalk | None:
        """All keys by the service's links, where more rows are there."""
        counted, rows, digest = await self._count(table, filtered), 0, blake2b()
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
        faults = [self._faults.get(table.name, ""), fault]
        text = "; and by the service's own links ".join(filter(None, faults))
        return AnswerMismatch(
            f"entity set {table.name!r}: rows would be left out: {text}. Have the service heed `$filter` and "
            "`$orderby` of the key, or link to further pages"
        )

    async def _page(
        self, table: EntitySetTable, filtered: str, link: str, prefer: str
    ) -> EntityPage:
        if link:
            return await self._client.page(link, prefer=prefer, absolute=True)
        return await self._client.page(
            table.name, query_options(table, filtered=filtered), prefer=prefer
        )

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()
