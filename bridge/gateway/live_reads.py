"""Reads that the legacy system answers: batched by entity and fields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from bridge.closing import close_all
from bridge.gateway.condition_lookup import ConditionLookup, LimitedQuery
from bridge.gateway.key_lookup import Fields, KeyLookup, Rows
from bridge.gateway.source_reads import SourceReads
from bridge.gateway.source_selection import WHOLE_ROWS, SourceSelection
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]
MAX_QUERY_SHAPES: Final = 500
"""Queries whose batches are kept, by entity, fields, ranges and order."""


class LiveReads:
    """The look-ups of one system, made as they are asked for. A cancelled call cancels its query only
    if nobody else waits for that.
    """

    def __init__(self, reads: SourceReads) -> None:
        self._reads = reads
        self._key_lookups: dict[tuple[str, Fields], KeyLookup] = {}
        self._condition_lookups: dict[tuple[str, Fields, SourceSelection], ConditionLookup] = {}

    def key_lookup(self, table: EntityMapping, fields: Fields) -> KeyLookup:
        """The look-up by the values of these fields."""
        shape = (table.spec.name, fields)
        lookup = self._key_lookups.get(shape)
        if lookup is None:
            lookup = self._key_lookups[shape] = KeyLookup(self._reads, table, fields)
        return lookup

    async def load_many(
        self, table: EntityMapping, fields: Fields, source_keys: Sequence[Values]
    ) -> list[Rows | None]:
        """The rows with these values, aligned."""
        batches = self.key_lookup(table, fields).batches
        answers = batches.load_many(source_keys)
        try:
            return await answers
        except asyncio.CancelledError:
            batches.leave()
            raise

    async def query(
        self,
        table: EntityMapping,
        fields: Fields,
        question: LimitedQuery,
        selection: SourceSelection = WHOLE_ROWS,
    ) -> Rows:
        """The rows of a query, at most its limit. Those with the same selection share queries."""
        batches = self._condition_lookup(table, fields, selection).batches
        answer = batches.load(question)
        try:
            rows = await answer
        except asyncio.CancelledError:
            batches.leave()
            raise
        return list(rows or ())[: question.limit]

    async def close(self) -> None:
        """Cancel running queries."""
        await close_all(
            *(lookup.batches.close for lookup in self._key_lookups.values()),
            *(conditions.batches.close for conditions in self._condition_lookups.values()),
        )

    def _condition_lookup(
        self, table: EntityMapping, fields: Fields, selection: SourceSelection
    ) -> ConditionLookup:
        shape = (table.spec.name, fields, selection)
        lookup = self._condition_lookups.pop(shape, None)
        if lookup is None:
            self._forget_idle()
            lookup = ConditionLookup(self._reads, table, fields, selection)
        self._condition_lookups[shape] = lookup
        return lookup

    def _forget_idle(self) -> None:
        """Ranges and cursors are ever others: those that were used longest ago are forgotten, unless
        somebody waits.
        """
        excess = len(self._condition_lookups) - MAX_QUERY_SHAPES + 1
        if excess > 0:
            oldest = list(self._condition_lookups.items())[:excess]
            for shape, lookup in oldest:
                if lookup.batches.is_idle:
                    del self._condition_lookups[shape]
