"""Whether a set can be paged by its keys: `$orderby` and comparisons are heeded, and mean one order.

Where one of them is ignored, or texts are sorted by one collation and compared by another, pages that
begin after a key leave rows out without a word. The ends of the set tell: nothing is before the first
row nor after the last one, and after the first one comes the second. Rows may change between two
questions: a contradiction counts where each of several tries shows it, of the same rows (`seen_again`).
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
"""Rows, after which there is none unless `$skip` is ignored."""


class PagingContradiction(NamedTuple):
    """What the service does wrong, and the keys that show it."""

    fault: str
    keys: tuple[Row, ...]


class _Undecidable(Exception):
    """Nothing can be known: of so few rows, or by what came."""


class _PagingRefused(Exception):
    """The service refuses what pages by key are made of."""


class KeysetTrial:
    """Asks one set in the form that its pages have, or will have. `filtered` holds for all questions."""

    def __init__(
        self, reader: PageReader, table: EntitySetTable, pages: KeysetPages, filtered: str = ""
    ) -> None:
        self._reader = reader
        self._table = table
        self._pages = pages
        self._properties: Sequence[Property] = pages.properties
        self._filtered = filtered
        #: What `run` returned is a refusal: the service says itself that it can't.
        self.refused = False
        names = [p.name for p in table.properties]
        self._places = [names.index(p.name) for p in pages.properties]

    async def run(self) -> str | None:
        """What the service does wrong, or refuses; "": nothing; None: of so few rows, by what it answers,
        or because its rows change that fast, it can't be known.
        """
        try:
            shown_by = await contradiction(self._once)
        except _PagingRefused as error:
            self.refused = True
            return str(error)
        except (Rejected, RowsChange, _Undecidable):
            # It fails by one of the questions: whoever pages asks those that matter again.
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
                "it gives the same row first, whether `$orderby` asks for ascending or descending",
                (lowest, second),
            )
        try:
            after = await self._keys(2, after=lowest)
        except Rejected as error:
            if is_refusal(error):
                raise _PagingRefused(f"it refuses `$filter` by `gt` a key: {error}") from error
            raise
        # A key that the service has more digits of than it shows is greater than itself.
        following = [key for key in after if key != lowest]
        if following[:1] != [second]:
            return PagingContradiction(
                "`$filter` by `gt` the first key doesn't give the row that `$orderby` gives second",
                (lowest, second, *following[:1]),
            )
        if others := await self._others(self._pages.filters_before(lowest), lowest):
            return PagingContradiction(
                "`$filter` by `lt` finds rows before the one that `$orderby` gives first",
                (lowest, *others),
            )
        if highest and self._is_exact(highest[0]):
            beyond = self._pages.filters_after(highest[0])
            if others := await self._others(beyond, highest[0]):
                return PagingContradiction(
                    "`$filter` by `gt` finds rows after the one that `$orderby` gives last",
                    (highest[0], *others),
                )
        return None

    async def _takes_unordered(self, error: Rejected) -> bool:
        """Whether the question is taken without an order."""
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
        """The last key, at most; none where it can't be asked for: some services sort upwards only."""
        try:
            return (await self._keys(1, descending=True))[:1]
        except Rejected as error:
            if is_refusal(error):
                return []
            raise

    async def _others(self, filters: Sequence[str], key: Row) -> list[Row]:
        """Rows that filters find, but for `key` itself, and those that differ from it by digits of a
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
        """Whether the key can be asked by."""
        return all(map(is_value_of, self._properties, key))


def paging_fault(table: EntitySetTable, keys: Sequence[Row], cursor: Sequence[Any] | None) -> str:
    """What is wrong with the keys of a page that was asked for in their order, after `cursor`."""
    after = None if cursor is None else tuple(cursor)
    if first_repeated(keys) is not None:
        return "a page holds a row twice"
    if after in keys[1:]:
        return "it gives the same rows, whatever key they should come after"
    # A key that the service has more digits of than it shows is greater than itself.
    following = [key for key in keys if key != after]
    if first_misplaced(following, after) is not None:
        return f"rows come in another order than that of {', '.join(p.name for p in table.key)}"
    return ""


def left_out_error(table: EntitySetTable, *faults: str) -> AnswerMismatch:
    """The error where neither pages by key nor the service's own links give every row: what is wrong
    with each; "" where it wasn't tried.
    """
    text = "; and by the service's own links ".join(filter(None, faults))
    return AnswerMismatch(
        f"entity set {table.name!r}: rows would be left out: {text}. Have the service heed `$filter` and "
        "`$orderby` of the key, or link to further pages"
    )


async def has_row_after(
    reader: PageReader, table: EntitySetTable, filtered: str, rows: int
) -> bool | None:
    """Whether there is a row after so many; None where the service doesn't skip."""
    params = query_options(table, filtered=filtered, top=1, select=table.set.key[0])
    try:
        return bool((await reader.page(table.name, params | {"$skip": str(rows)})).rows)
    except Rejected:
        return None
