"""Look-ups of one entity by the values of the same fields: each key is requested once per query."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.gateway.batcher import Batcher
from bridge.gateway.row_alignment import align_rows, rows_by_raw_value
from bridge.gateway.row_keys import raw_key_values, row_keys
from bridge.gateway.source_reads import SourceReads, Values
from bridge.model.provenance import TracedRow
from bridge.ports.entity_mapping import EntityMapping

Fields = tuple[str, ...]
Rows = Sequence[TracedRow]


class KeyLookup:
    """All rows whose `fields` have given values.

    batches: loads the rows of keys in the source's own form; None for a key that has none.
    """

    def __init__(self, reads: SourceReads, table: EntityMapping, fields: Fields) -> None:
        self.table = table
        self.fields = fields
        self.batches: Batcher[Values, Rows] = Batcher(self._fetch, reads.limiter, reads.max_keys)
        self._reads = reads

    async def _fetch(self, keys: list[Values], waiting: int) -> list[Rows | None]:
        table, fields = self.table, self.fields
        columns = table.columns(fields)
        answer = await self._reads.fetch(table, fields, keys, None, waiting)
        if len(keys) == 1:
            return [answer.rows]
        raw_values = raw_key_values(answer, columns)
        if raw_values is not None:
            aligned = rows_by_raw_value(keys, raw_values, answer.rows)
            if aligned is not None:
                return aligned
        keys_of_rows = row_keys(table, fields, columns, answer, frozenset(keys))
        aligned_rows, again = align_rows(keys, answer.rows, keys_of_rows)
        rows_by_key: dict[Values, Rows | None] = dict(aligned_rows)
        for others in again:
            await self._reads.limiter.wait_for_start()
            rows_by_key.update(zip(others, await self._fetch(others, 0), strict=True))
        return [rows_by_key.get(key) for key in keys]
