"""Reads that the legacy system answers: batched by entity and fields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from bridge.closing import close_all
from bridge.gateway.condition_lookup import ConditionLookup, LimitedQuery
from bridge.gateway.key_lookup import Fields, KeyLookup, Rows
from bridge.gateway.source_reads import SourceReads
from bridge.ports.entity_mapping import EntityMapping

Values = tuple[Any, ...]


class LiveReads:
    """The look-ups of one system, made as they are asked for. A cancelled call cancels its query only
    if nobody else waits for that.
    """

    def __init__(self, reads: SourceReads) -> None:
        self._reads = reads
        self._key_lookups: dict[tuple[str, Fields], KeyLookup] = {}
        self._condition_lookups: dict[tuple[str, Fields], ConditionLookup] = {}

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

    async def query(self, table: EntityMapping, fields: Fields, question: LimitedQuery) -> Rows:
        """The rows of a query, at most its limit."""
        batches = self._condition_lookup(table, fields).batches
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

    def _condition_lookup(self, table: EntityMapping, fields: Fields) -> ConditionLookup:
        shape = (table.spec.name, fields)
        lookup = self._condition_lookups.get(shape)
        if lookup is None:
            lookup = self._condition_lookups[shape] = ConditionLookup(self._reads, table, fields)
        return lookup
