"""Changes by delta links (OData V4, part 1: 11.3 Requesting Changes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.connector import CREATE, DELETE, UPDATE
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import HistoryLost, Rejected
from bridge.plan.steps import MISSING
from connectors.odata.capture.pollers.poller import (
    DIGEST_BYTES,
    PollerState,
    PollPage,
    ReportedRows,
    RowChange,
    digest_of,
    pack_digests,
    unpack_digests,
)
from connectors.odata.paging.followed_links import FollowedLinks
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.delta_rows import (
    DELETED_ENTITY_CONTROLS,
    is_deleted_entity,
    is_link,
    removed_id,
)
from connectors.odata.protocol.entity_id import key_of_entity_id
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.query import query_options
from connectors.odata.protocol.request import path_segment
from connectors.odata.protocol.response import EntityPage


class NoChangeTracking(Exception):
    """The service gives no delta link for this entity set after all."""


MAX_REMEMBERED_KEYS = 200_000
"""Keys that are remembered to tell new rows from old ones."""


class DeltaPoller:
    """`connectors.odata.capture.pollers.poller.Poller`: follows the service's own links.

    The link is the state. A service doesn't say whether a row is new: it is where its key was not
    there when the link was made, or was removed since. Which keys were there is remembered up to
    MAX_KEYS, and over a restart where the checkpoint has room; every other row is an update.
    """

    name = "delta"

    def __init__(self, asks: PageReader, table: EntitySetTable, page: int) -> None:
        self.table = table
        self._asks = asks
        self._prefer = f"odata.maxpagesize={page}"
        self._link = ""
        self._following = ""
        self._followed = FollowedLinks()
        #: What was told of the page under way.
        self._told = ReportedRows()
        #: Marks of the keys that are there, as far as was told; None: not known.
        self._there: set[bytes] | None = None
        #: Where that isn't known, those that went since.
        self._gone: dict[bytes, None] = {}

    async def begin(self) -> str:
        """Reads the set to its end, because the link comes with the last page; keeps keys alone."""
        prefer = f"odata.track-changes,{self._prefer}"
        page = await self._asks.page(self.table.name, query_options(self.table), prefer=prefer)
        # Some services hand out a link with each page; the first one misses nothing.
        link, there = page.delta_link, self._keys(page)
        followed = FollowedLinks()
        while page.next_link and (not link or len(there) <= MAX_REMEMBERED_KEYS):
            self._lead_on(followed, page.next_link)
            page = await self._asks.page(page.next_link, prefer=self._prefer, absolute=True)
            link = link or page.delta_link
            if len(there) <= MAX_REMEMBERED_KEYS:
                there |= self._keys(page)
        if not link:
            raise NoChangeTracking
        self._there, self._gone = there if len(there) <= MAX_REMEMBERED_KEYS else None, {}
        self._link, self._told = link, ReportedRows()
        return ""

    def _lead_on(self, followed: FollowedLinks, link: str) -> None:
        if not followed.lead_on(link):
            raise AnswerMismatch(
                f"entity set {self.table.name!r}: the links to its changes lead in a circle; say `change_detection: "
                "changed` or `change_detection: listing` for it under capture.sets, or correct the service"
            )

    def _keys(self, page: EntityPage) -> set[bytes]:
        return {digest_of(self.table.key_of(complete_row(self.table, json))) for json in page.rows}

    def restore(self, state: PollerState) -> None:
        self._link = state["link"]
        self._told.restore(state["told"])
        there = state["there"]
        self._there = None if there is None else set(unpack_digests(there, DIGEST_BYTES))
        self._gone = dict.fromkeys(unpack_digests(state["gone"], DIGEST_BYTES))

    def saved(self, marks: int) -> PollerState:
        room = max(0, marks - len(self._told))
        there = self._there if self._there is not None and len(self._there) <= room else None
        return {
            "link": self._link,
            "told": self._told.saved(marks),
            "there": None if there is None else pack_digests(sorted(there)),
            "gone": pack_digests(list(self._gone)[-room:] if room else []),
        }

    async def step(self) -> PollPage:
        try:
            page = await self._asks.page(self._link, prefer=self._prefer, absolute=True)
        except (HistoryLost, Rejected) as error:
            if isinstance(error, Rejected) and error.code == "legacy_error":
                raise  # It fails by itself (a deadlock), and says nothing of the link.
            # Also a link that the service doesn't know any more (404) or can't read (400).
            return await self._anew(str(error))
        self._followed.at(self._link)
        if page.next_link:
            self._lead_on(self._followed, page.next_link)
        self._following = page.next_link or page.delta_link or ""
        if not self._following:
            return await self._anew("a page of changes came without a link to the next ones")
        return await self._step(page)

    async def _anew(self, why: str) -> PollPage:
        """A new link first, so that nothing is missed between it and the comparison."""
        try:
            await self.begin()
        except NoChangeTracking:
            raise Rejected(
                "no_tracking",
                f"entity set {self.table.name!r}: the service tracks no changes of it any more "
                f"({why}); say `change_detection: changed` or `change_detection: listing` for it under capture.sets",
            ) from None
        self._following = self._link
        return PollPage([], more=False, stale=f"its delta link is not accepted any more: {why}")

    async def _step(self, page: EntityPage) -> PollPage:
        # Of a key that changed several times the last state alone: what was told of a page that
        # comes again is known by it.
        items: dict[Row, RowChange] = {}
        for json in page.rows:
            if is_link(json):
                continue
            found = await self._item(json)
            if found is None:
                return await self._anew("a row came without its key")
            items.pop(found.key, None)
            if found.row is None or MISSING not in found.row:
                items[found.key] = found
        left = [found for found in items.values() if not self._told.has(found)]
        return PollPage(left, more=bool(page.next_link))

    async def _item(self, json: Mapping[str, Any]) -> RowChange | None:
        address = removed_id(json)
        if address is not None and is_deleted_entity(json):
            json = {name: one for name, one in json.items() if name not in DELETED_ENTITY_CONTROLS}
        row = self.table.row(json)
        if address is None:
            if MISSING in row:
                row = await self._whole(row)
            if not self.table.has_key(row):
                return None
            key = self.table.key_of(row)
            return RowChange(CREATE if self._is_new(key) else UPDATE, key, row, digest_of(row))
        key = self.table.key_of(row)
        if not self.table.has_key(row):
            found = key_of_entity_id(address, self.table.key, self.table.version)
            if found is None:
                return None
            key = found
        return RowChange(DELETE, key, None, digest_of(("removed", key)))

    async def _whole(self, row: Row) -> Row:
        """The row, of which a delta response told only what has changed. As it was told where it
        is gone by now: its removal follows.
        """
        if not self.table.has_key(row):
            return row
        key = self.table.key_of(row)
        path = path_segment(f"{self.table.name}{self.table.predicate(key)}")
        try:
            answer = await self._asks.get(path, query_options(self.table))
        except Rejected as error:
            if error.code == "not_found":
                return row
            raise
        return complete_row(self.table, answer.body)

    def _is_new(self, key: Row) -> bool:
        mark = digest_of(key)
        return mark in self._gone if self._there is None else mark not in self._there

    def took(self, item: RowChange) -> None:
        self._told.add(item)
        mark, there = digest_of(item.key), item.row is not None
        if self._there is not None:
            (self._there.add if there else self._there.discard)(mark)
            if len(self._there) > MAX_REMEMBERED_KEYS:
                self._there = None
        self._gone.pop(mark, None)
        if not there:
            self._gone[mark] = None
            if len(self._gone) > MAX_REMEMBERED_KEYS:
                del self._gone[next(iter(self._gone))]

    def turn(self) -> None:
        self._link, self._told = self._following, ReportedRows()
