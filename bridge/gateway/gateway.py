"""The gateway of one system, through which all of its reads go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from time import perf_counter
from typing import Any

from bridge.connector import Reader
from bridge.gateway.batcher import Batcher
from bridge.gateway.limiter import Limiter
from bridge.gateway.row_alignment import align_rows
from bridge.model.error_text import error_message
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.specs import SystemLimits
from bridge.model.types import Relation
from bridge.observe import Observer, PartState, RowsRead, Throttled, ignore
from bridge.ports.entity_mapping import EntityMapping

Fields = tuple[str, ...]
Values = tuple[Any, ...]
Rows = list[TracedRow]


def _now() -> datetime:
    return datetime.now(UTC)


class Gateway:
    """Reads of one system, batched and within its limits. Entities go by their bare names.

    All methods may be called by any number of tasks at once. They raise RetryLater while the system
    is unavailable, Rejected for an invalid query, RowError for a row that can't be normalised.
    """

    def __init__(
        self,
        system: str,
        reader: Reader,
        tables: Mapping[str, EntityMapping],
        limits: SystemLimits,
        *,
        observer: Observer = ignore,
        clock: Callable[[], datetime] = _now,
        limiter: Limiter | None = None,
    ) -> None:
        self._system = system
        self._reader = reader
        self._tables = tables
        self._observer = observer
        self._clock = clock
        self._limiter = limiter or Limiter(limits)
        self._batchers: dict[tuple[str, Fields], Batcher[Values, Rows]] = {}
        self._is_away = False

    async def get(self, entity: str, key: Any) -> TracedRow | None:
        """The row with that key (a mapping, or the bare value of a key of one field)."""
        table = self._table(entity)
        fields = table.entity.key
        rows = await self._lookup(table, fields, key_values(table, key))
        if len(rows) > 1:
            raise Rejected(
                "ambiguous_key",
                f"{table.entity.qualified} has {len(rows)} rows with the key {key!r}: its "
                "declared key is not unique in the table",
            )
        return rows[0] if rows else None

    async def get_many(self, entity: str, keys: Sequence[Any]) -> list[TracedRow | None]:
        """The rows with those keys, aligned, None for each that doesn't exist."""
        return list(await asyncio.gather(*(self.get(entity, key) for key in keys)))

    async def related(self, entity: str, row: Any, relation: str) -> Any:
        """The rows that a relation leads to: a list (to many), or a row or None (to one)."""
        table = self._table(entity)
        declared = _relation(table, relation)
        if declared.from_field:
            value = row[declared.from_field]
            return None if value is None else await self.get(declared.entity, value)
        names = table.entity.key
        if len(names) != 1:
            raise Rejected(
                "bad_relation",
                f"relation {relation!r} of {table.entity.qualified} is `by` one field, but the "
                f"key has the fields {', '.join(names)}",
            )
        return await self._lookup(self._table(declared.entity), (declared.by,), (row[names[0]],))

    async def related_many(self, entity: str, rows: Sequence[Any], relation: str) -> list[Any]:
        """`related` of many rows, aligned, in as few queries."""
        return list(await asyncio.gather(*(self.related(entity, row, relation) for row in rows)))

    async def query(self, entity: str, where: Mapping[str, Any], limit: int) -> list[TracedRow]:
        """Rows whose fields equal `where` (a list of values: any of them), at most `limit`."""
        if limit < 1:
            raise Rejected("bad_query", f"limit is {limit}; it must be at least 1")
        table = self._table(entity)
        fields = tuple(where)
        choices = [
            v if isinstance(v, (list, tuple, set, frozenset)) else (v,) for v in where.values()
        ]
        keys = [table.outward(fields, values) for values in product(*choices)] if where else []
        if where and not keys:
            return []
        if any(None in key for key in keys):
            # In SQL nothing equals null, so the result would silently be empty.
            raise Rejected(
                "bad_query", f"rows of {table.entity.qualified} can't be queried by null"
            )
        if len(keys) > self._reader.max_keys:
            raise Rejected(
                "bad_query",
                f"the conditions on {table.entity.qualified} are {len(keys)} combinations; one "
                f"query takes {self._reader.max_keys}",
            )
        await self._limiter.acquire()
        try:
            return await self._fetch(table, table.columns(fields), keys, limit, 1)
        finally:
            self._limiter.release()

    async def close(self) -> None:
        """Cancel running queries and close the Reader."""
        for batcher in self._batchers.values():
            await batcher.close()
        await self._reader.close()

    def _table(self, entity: str) -> EntityMapping:
        table = self._tables.get(entity)
        if table is None:
            names = ", ".join(sorted(self._tables)) or "none"
            raise Rejected(
                "unknown_entity", f"system {self._system} has no entity {entity!r}; it has {names}"
            )
        return table

    async def _lookup(self, table: EntityMapping, fields: Fields, values: Values) -> Rows:
        shape = (table.entity.name, fields)
        batcher = self._batchers.get(shape)
        if batcher is None:
            batcher = Batcher(
                lambda keys, reads: self._fetch_all(table, fields, keys, reads),
                self._limiter,
                self._reader.max_keys,
            )
            self._batchers[shape] = batcher
        return list(await batcher.load(table.outward(fields, values)) or ())

    async def _fetch_all(
        self, table: EntityMapping, fields: Fields, keys: list[Values], reads: int
    ) -> Mapping[Values, Rows]:
        def key_of(row: TracedRow) -> Values:
            # In the source's own form, where `7` and `007` are the same key.
            return table.outward(fields, [row[field] for field in fields])

        rows = await self._fetch(table, table.columns(fields), keys, None, reads)
        rows_by_key, again = align_rows(keys, rows, key_of)
        for others in again:
            await self._limiter.wait_for_start()
            rows_by_key.update(await self._fetch_all(table, fields, others, 0))
        return rows_by_key

    async def _fetch(
        self,
        table: EntityMapping,
        columns: tuple[str, ...],
        keys: list[Values],
        limit: int | None,
        reads: int,
    ) -> Rows:
        as_of, started = self._clock(), perf_counter()
        entity = table.entity
        provenance = Provenance(entity.qualified, "legacy", as_of)
        answered = 0
        try:
            answer = await self._reader.fetch(table.spec.table, columns, keys, limit)
            entity = table.entity_of(answer.shape)
            rows = [
                TracedRow(table.row(answer.shape, raw), provenance, entity) for raw in answer.rows
            ]
            answered = reads
            if self._is_away:
                self._is_away = False
                self._observer(PartState("reads", self._system, "running"))
            return rows
        except (RetryLater, ConfigurationError) as error:
            self._is_away = True
            self._observer(PartState("reads", self._system, "retrying", error_message(error)))
            after = error.after if isinstance(error, RetryLater) else None
            if after is not None and self._limiter.throttle(after, str(error)):
                self._observer(Throttled(self._system, after, str(error)))
            raise
        finally:
            # A failed query is still counted as a query; its reads are counted with the query that
            # answers them.
            took = perf_counter() - started
            self._observer(RowsRead(self._system, entity.qualified, answered, 1, took))


def key_values(table: EntityMapping, key: Any) -> Values:
    """The values of a key in the order of the entity's key fields. Raises Rejected (`bad_key`)."""
    names = table.entity.key
    if isinstance(key, Mapping):
        if set(key) != set(names):
            raise Rejected(
                "bad_key",
                f"the key of {table.entity.qualified} has the fields {', '.join(names)}, "
                f"not {', '.join(map(str, key)) or 'none'}",
            )
        return tuple(key[name] for name in names)
    if len(names) != 1:
        raise Rejected(
            "bad_key",
            f"the key of {table.entity.qualified} has the fields {', '.join(names)}; give all of "
            "them by name",
        )
    return (key,)


def _relation(table: EntityMapping, name: str) -> Relation:
    for relation in table.entity.relations:
        if relation.name == name:
            return relation
    names = ", ".join(relation.name for relation in table.entity.relations) or "none"
    raise Rejected(
        "unknown_relation",
        f"{table.entity.qualified} has no relation {name!r}; it has {names}",
    )
