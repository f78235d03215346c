"""Rows that a listing leaves out, although the service returns them by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bridge.connector import TableUse
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.pollers.listing import ListingPoller
from connectors.odata.capture.pollers.poller import RowChange
from connectors.odata.capture.presence import MAX_KEYS_PER_PAGE, present_keys
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import Row

WAIT_GROWTH = 4
"""Factor by which the wait before the next request for such a row grows."""


class _HiddenRow(NamedTuple):
    """A row that listings leave out: when it is asked for again, and after which wait."""

    again_at: float
    wait_s: float


class HiddenRows:
    """The hidden rows of one entity set; each is asked for at growing intervals."""

    def __init__(
        self,
        reader: PageReader,
        use: TableUse,
        options: ODataOptions,
        monotonic: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._use = use
        self._options = options
        self._monotonic = monotonic
        self._rows: dict[Row, _HiddenRow] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forget them."""
        self._rows = {}

    async def confirm(
        self, poller: ListingPoller, items: list[RowChange], *, more: bool
    ) -> tuple[list[RowChange], str]:
        """The changes without deletes of rows that still exist by their key. If the service gives no
        clear answer, or more rows are missing than plausible, a comparison with the log decides: then
        also the reason for it.
        """
        gone = [item for item in items if item.row is None]
        if not gone:
            # A listing reports missing rows at its end: if none are missing, all were listed.
            self._rows = self._rows if more else {}
            return items, ""
        now = self._monotonic()
        waiting = {
            item.key
            for item in gone
            if item.key in self._rows and now < self._rows[item.key].again_at
        }
        keys = [item.key for item in gone if item.key not in waiting]
        present: set[Row] | None = None
        implausible = self._use.max_deletes.exceeded(len(gone) - len(waiting), poller.size)
        if len(keys) <= MAX_KEYS_PER_PAGE and not implausible:
            present = await present_keys(self._reader, poller.table, keys)
        if present is None:
            self._rows = {}
            for item in gone:
                poller.emitted(item)
            kept = [item for item in items if item.row is not None]
            return kept, f"a listing doesn't show {len(gone)} of {poller.size + len(gone)} rows"
        # An existing row stays remembered until a later listing shows it, or another read does.
        before = self._rows
        self._rows = {key: before[key] for key in waiting}
        for key in present:
            wait = self._options.poll
            if key in before:
                longest = max(self._options.reconcile, wait)
                wait = min(before[key].wait_s * WAIT_GROWTH, longest)
            self._rows[key] = _HiddenRow(now + wait, wait)
        return [item for item in items if item.row is not None or item.key not in self._rows], ""
