"""Whether a set can be paged by its keys: the service obeys `$orderby` and comparisons, and both use one
order.

If one of them is ignored, or texts are sorted by one collation and compared by another, pages that begin
after a key silently leave out rows. The ends of the set show it: nothing may be before the first row or
after the last one, and the second must follow the first. Rows may change between two
questions: a contradiction counts only if each of several tries shows it for the same rows (`seen_again`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bridge.connector.answer_check import AnswerMismatch, first_misplaced, first_repeated
from bridge.connector.answer_contradictions import RowsChange, contradiction
from bridge.model.errors import Rejected
from connectors.odata.http.errors import is_refusal
from connectors.odata.metadata.field_types import TIMESTAMP_TYPES
from connectors.odata.metadata.model import Property
from connectors.odata.paging.keyset_pages import KeysetPages
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable, Row, complete_row
from connectors.odata.protocol.literal import is_value_of
from connectors.odata.protocol.query import all_of, query_options

BEYOND_EVERY_ROW = 10**9
"""A `$skip` after which no row can come, unless it is ignored."""


class PagingContradiction(NamedTuple):
    """What the service does wrong, and the keys that show it."""

    fault: str
    keys: tuple[Row, ...]


class _Undecidable(Exception):
    """Nothing can be concluded: there are too few rows, or the answer is unclear."""


class _PagingRefused(Exception):
    """The service refuses what pages by key are made of."""


class KeysetTrial:
    """Tests one set with requests in the form of its pages. `filtered` applies to all requests."""

    def __init__(
        self, reader: PageReader, table: EntitySetTable, pages: KeysetPages, filtered: str = ""
    ) -> None:
        self._reader = reader
        self._table = table
        self._pages = pages
        self._properties: Sequence[Property] = pages.properties
        self._filtered = filtered
        #: Whether the result of `run` is a refusal by the service itself.
        self.refused = False
        names = [p.name for p in table.properties]
        self._places = [names.index(p.name) for p in pages.properties]

    async def run(self) -> str | None:
        """What the service does wrong, or refuses; "": nothing; None: unknown, because there are too few
        rows, its answers are unclear, or its rows change too fast.
        """
        try:
            shown_by = await contradiction(self._once)
        except _PagingRefused as error:
            self.refused = True
            return str(error)
        except (Rejected, RowsChange, _Undecidable):
            # One request fails: paging repeats those that matter.
            return None
        return "" if shown_by is None else shown_by.fault

    async def _once(self) -> PagingContradiction | None:
        try:
            first = await self._keys(2)
        except Rejected as error:
            if await self._takes_unordered(error):
                raise _PagingRefused(f"it refuses `$orderby` by the key: {error}") from error
            raise
        if len(first) < 2 or not all(map(self._is_exact, first)):
            raise _Undecidable
        lowest, second = first
        highest = await self._highest()
        if highest == [lowest]:
            return PagingContradiction(
                "it returns the same row first, whether `$orderby` is ascending or descending",
                (lowest, second),
            )
        try:
            after = await self._keys(2, after=lowest)
        except Rejected as error:
            if is_refusal(error):
                raise _PagingRefused(f"it refuses `$filter` by `gt` a key: {error}") from error
            raise
        # A key that the service stores with more digits than it shows is greater than itself.
        following = [key for key in after if key != lowest]
        if following[:1] != [second]:
            return PagingContradiction(
                "`$filter` by `gt` the first key doesn't return the row that is second by `$orderby`",
                (lowest, second, *following[:1]),
            )
        if others := await self._others(self._pages.filters_before(lowest), lowest):
            return PagingContradiction(
                "`$filter` by `lt` finds rows before the one that is first by `$orderby`",
                (lowest, *others),
            )
        if highest and self._is_exact(highest[0]):
            beyond = self._pages.filters_after(highest[0])
            if others := await self._others(beyond, highest[0]):
                return PagingContradiction(
                    "`$filter` by `gt` finds rows after the one that is last by `$orderby`",
                    (highest[0], *others),
                )
        return None

    async def _takes_unordered(self, error: Rejected) -> bool:
        """Whether the request is accepted without an order."""
        if not is_refusal(error):
            return False
        try:
            await self._reader.page(
                self._table.name, query_options(self._table, filtered=self._filtered, top=2)
            )
        except Rejected:
            return False
        return True

    async def _highest(self) -> list[Row]:
        """The last key; none if it can't be read: some services only sort upwards."""
        try:
            return (await self._keys(1, descending=True))[:1]
        except Rejected as error:
            if is_refusal(error):
                return []
            raise

    async def _others(self, filters: Sequence[str], key: Row) -> list[Row]:
        """Rows that filters find, without `key` itself and those that differ from it only by digits of a
        timestamp that the service doesn't show.
        """
        is_timestamp = self._properties[0].edm in TIMESTAMP_TYPES
        keys = [other for text in filters for other in await self._keys(2, text)]
        return [
            other for other in keys if other != key and not (is_timestamp and other[0] == key[0])
        ]

    async def _keys(
        self, top: int, filtered: str = "", *, after: Row | None = None, descending: bool = False
    ) -> list[Row]:
        select = ",".join(dict.fromkeys(p.path[0] for p in [*self._table.key, *self._properties]))
        params = query_options(self._table, top=top, select=select)
        sign = " desc" if descending else ""
        params["$orderby"] = ",".join(f"{p.name}{sign}" for p in self._properties)
        page = await self._pages.page(
            self._reader.page, params, after, filtered=all_of(self._filtered, filtered)
        )
        rows = [complete_row(self._table, json) for json in page.rows[:top]]
        return [tuple(row[index] for index in self._places) for row in rows]

    def _is_exact(self, key: Row) -> bool:
        """Whether a filter can name the key."""
        return all(map(is_value_of, self._properties, key))


def paging_fault(table: EntitySetTable, keys: Sequence[Row], cursor: Sequence[Any] | None) -> str:
    """What is wrong with the keys of a page that was requested in their order, after `cursor`."""
    after = None if cursor is None else tuple(cursor)
    if first_repeated(keys) is not None:
        return "a page has a row twice"
    if after in keys[1:]:
        return "it returns the same rows after any key"
    # A key that the service stores with more digits than it shows is greater than itself.
    following = [key for key in keys if key != after]
    if first_misplaced(following, after) is not None:
        return f"rows are in another order than that of {', '.join(p.name for p in table.key)}"
    return ""


def left_out_error(table: EntitySetTable, *faults: str) -> AnswerMismatch:
    """The error if neither pages by key nor the service's own links return every row: the fault of each;
    "": not tried.
    """
    text = "; and by the service's own links ".join(filter(None, faults))
    return AnswerMismatch(
        f"entity set {table.name!r}: rows would be left out: {text}. Make the service obey `$filter` and "
        "`$orderby` by the key, or return links to further pages"
    )


async def has_row_after(
    reader: PageReader, table: EntitySetTable, filtered: str, rows: int
) -> bool | None:
    """Whether there is a row after so many; None if the service refuses `$skip`."""
    params = query_options(table, filtered=filtered, top=1, select=table.set.key[0])
    try:
        return bool((await reader.page(table.name, params | {"$skip": str(rows)})).rows)
    except Rejected:
        return None
