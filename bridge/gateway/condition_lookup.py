"""Queries of one entity by conditions on the same fields: those that wait become one query.

Each has a limit of its own. The one query has the sum of the limits, so that it never reads more
rows than its queries could return together; only an answer below its limit is whole. One that
reached it settles the queries whose own limits are reached, which is at least one of them, and the
others are queried again by halves: at most 2 log n more for each query with more rows than its
limit. So no query is answered with rows that another's limit has cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bridge.gateway.batcher import Batcher
from bridge.gateway.key_lookup import Fields, Rows
from bridge.gateway.row_alignment import align_rows
from bridge.gateway.row_keys import row_keys
from bridge.gateway.source_reads import SourceReads, Values
from bridge.gateway.source_rows import SourceRows
from bridge.gateway.source_selection import WHOLE_ROWS, SourceSelection
from bridge.ports.entity_mapping import EntityMapping

MAX_SHARED_ROWS: Final = 100_000
"""Rows that one query for several may return; a single one returns as many as its caller allows."""


class LimitedQuery(NamedTuple):
    """keys: distinct combinations of values in the source's own form, any of which matches; empty:
    every row.
    limit: rows at most.
    """

    keys: tuple[Values, ...]
    limit: int


class ConditionLookup:
    """At most so many rows whose `fields` have one of several combinations of values.

    batches: loads the rows of queries; a query's rows may be of another, equal one with a larger
    limit, so that the caller takes as many as it wants.
    """

    def __init__(
        self,
        reads: SourceReads,
        table: EntityMapping,
        fields: Fields,
        selection: SourceSelection = WHOLE_ROWS,
    ) -> None:
        self.table = table
        self._selection = selection
        self.fields = fields
        self.batches: Batcher[LimitedQuery, Rows] = Batcher(
            self._fetch, reads.limiter, reads.max_keys, lambda query: max(1, len(query.keys))
        )
        self._reads = reads

    async def _fetch(self, queries: list[LimitedQuery], waiting: int) -> list[Rows]:
        """Equal conditions with different limits are one, with the largest."""
        largest: dict[tuple[Values, ...], LimitedQuery] = {}
        for query in queries:
            earlier = largest.get(query.keys)
            if earlier is None or query.limit > earlier.limit:
                largest[query.keys] = query
        rows = await self._fetch_distinct(list(largest.values()), waiting)
        return [rows[query.keys] for query in queries]

    async def _fetch_distinct(
        self, queries: list[LimitedQuery], waiting: int
    ) -> dict[tuple[Values, ...], Rows]:
        keys = list(dict.fromkeys(key for query in queries for key in query.keys))
        limit = shared_limit(queries)
        columns = self.table.columns(self.fields)
        answer = await self._reads.fetch(
            self.table, self.fields, keys, limit, waiting, selection=self._selection
        )
        if len(queries) == 1:
            return {queries[0].keys: answer.rows[: queries[0].limit]}
        rows_by_query, again = self._divide(queries, keys, answer, columns)
        middle = (len(again) + 1) // 2
        for half in (again[:middle], again[middle:]):
            if half:
                await self._reads.limiter.wait_for_start()
                rows_by_query.update(await self._fetch_distinct(half, 0))
        return rows_by_query

    def _divide(
        self,
        queries: Sequence[LimitedQuery],
        keys: Sequence[Values],
        answer: SourceRows,
        columns: tuple[str, ...],
    ) -> tuple[dict[tuple[Values, ...], Rows], list[LimitedQuery]]:
        """The rows of each query that this answer settles, and the other queries."""
        found_keys = row_keys(self.table, self.fields, columns, answer, frozenset(keys))
        rows_by_key, unclear = align_rows(keys, answer.rows, found_keys)
        return divide(queries, rows_by_key, unclear, len(answer.rows) < shared_limit(queries))


def shared_limit(queries: Sequence[LimitedQuery]) -> int:
    """Rows that one query for all of these may return."""
    limits = [query.limit for query in queries]
    return limits[0] if len(limits) == 1 else min(sum(limits), MAX_SHARED_ROWS)


def divide(
    queries: Sequence[LimitedQuery],
    rows_by_key: Mapping[Values, Rows],
    unclear: Sequence[Sequence[Values]],
    is_whole: bool,
) -> tuple[dict[tuple[Values, ...], Rows], list[LimitedQuery]]:
    """The rows of each query that one answer settles, and the queries to ask again. Pure.

    rows_by_key, unclear: the answer's, as by `align_rows`: the rows of unclear keys aren't known.
    is_whole: no limit cut the answer.
    """
    unclear_keys = {key for keys in unclear for key in keys}
    rows_by_query: dict[tuple[Values, ...], Rows] = {}
    again = []
    for query in queries:
        rows = [row for key in query.keys for row in rows_by_key.get(key, ())]
        is_clear = unclear_keys.isdisjoint(query.keys)
        if is_clear and (is_whole or len(rows) >= query.limit):
            rows_by_query[query.keys] = rows[: query.limit]
        else:
            again.append(query)
    return rows_by_query, again
