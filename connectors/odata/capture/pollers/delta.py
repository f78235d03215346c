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
    """The service returns no delta link for this entity set after all."""


MAX_REMEMBERED_KEYS = 200_000
"""Keys that are remembered to distinguish new rows from old ones."""


class DeltaPoller:
    """`connectors.odata.capture.pollers.poller.Poller`: follows the service's own links.

    The link is the state. A service doesn't report whether a row is new: it is new if its key didn't
    exist when the link was made, or was removed since. The existing keys are remembered up to MAX_KEYS,
    and across a restart if they fit into the checkpoint; every other row is an update.
    """

    name = "delta"

    def __init__(self, reader: PageReader, table: EntitySetTable, page: int) -> None:
        self.table = table
        self._reader = reader
        self._prefer = f"odata.maxpagesize={page}"
        self._link = ""
        self._following = ""
        self._followed = FollowedLinks()
        #: What was emitted of the current page.
        self._reported = ReportedRows()
        #: Digests of the keys that exist, as far as emitted; None: unknown.
        self._existing_keys: set[bytes] | None = None
        #: If that isn't known, the keys removed since.
        self._removed_keys: dict[bytes, None] = {}

    async def begin(self) -> str:
        """Reads the set to its end, because the link comes with the last page; keeps only the keys."""
        prefer = f"odata.track-changes,{self._prefer}"
        page = await self._reader.page(self.table.name, query_options(self.table), prefer=prefer)
        # Some services return a link with each page; the first one misses nothing.
        link, existing = page.delta_link, self._keys(page)
        followed = FollowedLinks()
        while page.next_link and (not link or len(existing) <= MAX_REMEMBERED_KEYS):
            self._lead_on(followed, page.next_link)
            page = await self._reader.page(page.next_link, prefer=self._prefer, absolute=True)
            link = link or page.delta_link
            if len(existing) <= MAX_REMEMBERED_KEYS:
                existing |= self._keys(page)
        if not link:
            raise NoChangeTracking
        self._existing_keys, self._removed_keys = (
            existing if len(existing) <= MAX_REMEMBERED_KEYS else None,
            {},
        )
        self._link, self._reported = link, ReportedRows()
        return ""

    def _lead_on(self, followed: FollowedLinks, link: str) -> None:
        if not followed.lead_on(link):
            raise AnswerMismatch(
                f"entity set {self.table.name!r}: the links to its changes form a circle; set `change_detection: "
                "changed` or `change_detection: listing` for it under capture.sets, or correct the service"
            )

    def _keys(self, page: EntityPage) -> set[bytes]:
        return {digest_of(self.table.key_of(complete_row(self.table, json))) for json in page.rows}

    def restore(self, state: PollerState) -> None:
        self._link = state["link"]
        self._reported.restore(state["told"])
        existing = state["there"]
        self._existing_keys = (
            None if existing is None else set(unpack_digests(existing, DIGEST_BYTES))
        )
        self._removed_keys = dict.fromkeys(unpack_digests(state["gone"], DIGEST_BYTES))

    def saved(self, marks: int) -> PollerState:
        room = max(0, marks - len(self._reported))
        existing = (
            self._existing_keys
            if self._existing_keys is not None and len(self._existing_keys) <= room
            else None
        )
        return {
            "link": self._link,
            "told": self._reported.saved(marks),
            "there": None if existing is None else pack_digests(sorted(existing)),
            "gone": pack_digests(list(self._removed_keys)[-room:] if room else []),
        }

    async def next_page(self) -> PollPage:
        try:
            page = await self._reader.page(self._link, prefer=self._prefer, absolute=True)
        except (HistoryLost, Rejected) as error:
            if isinstance(error, Rejected) and error.code == "legacy_error":
                raise  # A temporary failure (a deadlock), unrelated to the link.
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
                f"entity set {self.table.name!r}: the service no longer tracks its changes "
                f"({why}); set `change_detection: changed` or `change_detection: listing` for it under capture.sets",
            ) from None
        self._following = self._link
        return PollPage([], more=False, stale=f"its delta link is no longer accepted: {why}")

    async def _step(self, page: EntityPage) -> PollPage:
        # Of a key that changed several times only the last state: it shows what was emitted if the page
        # is read again.
        items: dict[Row, RowChange] = {}
        for json in page.rows:
            if is_link(json):
                continue
            change = await self._item(json)
            if change is None:
                return await self._anew("a row came without its key")
            items.pop(change.key, None)
            if change.row is None or MISSING not in change.row:
                items[change.key] = change
        left = [change for change in items.values() if not self._reported.has(change)]
        return PollPage(left, more=bool(page.next_link))

    async def _item(self, json: Mapping[str, Any]) -> RowChange | None:
        address = removed_id(json)
        if address is not None and is_deleted_entity(json):
            json = {
                name: value for name, value in json.items() if name not in DELETED_ENTITY_CONTROLS
            }
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
            key_of_address = key_of_entity_id(address, self.table.key, self.table.version)
            if key_of_address is None:
                return None
            key = key_of_address
        return RowChange(DELETE, key, None, digest_of(("removed", key)))

    async def _whole(self, row: Row) -> Row:
        """The whole row, since a delta response has only the changed properties. If the row is gone by
        now, as it came: its removal follows.
        """
        if not self.table.has_key(row):
            return row
        key = self.table.key_of(row)
        path = path_segment(f"{self.table.name}{self.table.predicate(key)}")
        try:
            answer = await self._reader.get(path, query_options(self.table))
        except Rejected as error:
            if error.code == "not_found":
                return row
            raise
        return complete_row(self.table, answer.body)

    def _is_new(self, key: Row) -> bool:
        mark = digest_of(key)
        return (
            mark in self._removed_keys
            if self._existing_keys is None
            else mark not in self._existing_keys
        )

    def emitted(self, item: RowChange) -> None:
        self._reported.add(item)
        mark, exists = digest_of(item.key), item.row is not None
        if self._existing_keys is not None:
            (self._existing_keys.add if exists else self._existing_keys.discard)(mark)
            if len(self._existing_keys) > MAX_REMEMBERED_KEYS:
                self._existing_keys = None
        self._removed_keys.pop(mark, None)
        if not exists:
            self._removed_keys[mark] = None
            if len(self._removed_keys) > MAX_REMEMBERED_KEYS:
                del self._removed_keys[next(iter(self._removed_keys))]

    def end_page(self) -> None:
        self._link, self._reported = self._following, ReportedRows()
