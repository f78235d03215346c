"""The gateway of one system, through which all of its reads go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final

from bridge.closing import close_all
from bridge.connector import Reader
from bridge.gateway.condition_lookup import ConditionLookup, LimitedQuery
from bridge.gateway.key_lookup import Fields, KeyLookup, Rows
from bridge.gateway.limiter import Limiter
from bridge.gateway.source_reads import SourceReads, Values
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.provenance import TracedRow
from bridge.model.read_demands import NO_DEMANDS, ReadDemands, check_demands
from bridge.model.specs import SystemLimits
from bridge.model.types import Relation
from bridge.observe import Observer, ignore
from bridge.ports.entity_mapping import EntityMapping

#: Types of bare keys, which are no mappings.
_BARE_KEYS: Final = frozenset({int, str})


def _now() -> datetime:
    return datetime.now(UTC)


class Gateway:
    """Reads of one system, batched and within its limits. Entities go by their bare names.

    All methods may be called by any number of tasks at once. They raise RetryLater while the system
    is unavailable, Rejected for an invalid query, RowError for a row that can't be normalised. A
    cancelled call cancels its query only if nobody else waits for that.
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
        self._tables = tables
        self.limiter = limiter or Limiter(limits, system=system, observer=observer)
        self._reads = SourceReads(system, reader, self.limiter, observer, clock)
        self._by_key: dict[str, KeyLookup] = {}
        self._key_lookups: dict[tuple[str, Fields], KeyLookup] = {}
        self._condition_lookups: dict[tuple[str, Fields], ConditionLookup] = {}

    def has(self, entity: str) -> bool:
        """Whether the system has that entity."""
        return entity in self._tables

    async def get(
        self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS
    ) -> TracedRow | None:
        """The row with that key (a mapping, or the bare value of a key of one field)."""
        if demands is not NO_DEMANDS:
            check_demands(demands)
        lookup = self._by_key.get(entity)
        if lookup is None or lookup.fields != lookup.table.entity.key:
            table = self._table(entity)
            lookup = self._by_key[entity] = self._key_lookup(table, table.entity.key)
        table, batches = lookup.table, lookup.batches
        is_bare = type(key) in _BARE_KEYS and len(lookup.fields) == 1
        values = (key,) if is_bare else key_values(table, key)
        answer = batches.load(table.outward(lookup.fields, values))
        try:
            rows = await answer
        except asyncio.CancelledError:
            batches.leave()
            raise
        return _only_row(table, key, rows)

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[TracedRow | None]:
        """The rows with those keys, aligned, None for each that doesn't exist."""
        check_demands(demands)
        table = self._table(entity)
        fields = table.entity.key
        if len(fields) == 1 and _BARE_KEYS.issuperset(map(type, keys)):
            source_keys = table.outward_many(fields[0], keys)
        else:
            source_keys = [table.outward(fields, key_values(table, key)) for key in keys]
        answers = await self._load_many(table, fields, source_keys)
        return [
            None if not rows else rows[0] if len(rows) == 1 else _only_row(table, key, rows)
            for key, rows in zip(keys, answers, strict=True)
        ]

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """The rows that a relation leads to: a list (to many), or a row or None (to one)."""
        return (await self.related_many(entity, (row,), relation, demands))[0]

    async def related_many(
        self, entity: str, rows: Sequence[Any], relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> list[Any]:
        """`related` of many rows, aligned, in as few queries."""
        check_demands(demands)
        table = self._table(entity)
        declared = _relation(table, relation)
        other = self._table(declared.entity)
        try:
            starts, targets = declared.ends(table.entity.key, other.entity.key)
        except ConfigurationError as error:
            raise Rejected("bad_relation", f"{table.entity.qualified}: {error}") from error
        values = [tuple([row[field] for field in starts]) for row in rows]
        # Nothing equals null: fields that hold one lead nowhere.
        present = [key for key in values if None not in key]
        answers = await self._load_many(other, targets, _outward_many(other, targets, present))
        rows_of_keys = iter(answers)
        if not declared.from_field:
            return [[] if None in key else [*(next(rows_of_keys) or ())] for key in values]
        return [
            None if None in key else _only_row(other, key, next(rows_of_keys)) for key in values
        ]

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
    ) -> list[TracedRow]:
        """Rows whose fields equal `where` (a list of values: any of them), at most `limit`."""
        check_demands(demands)
        table = self._table(entity)
        fields = tuple(sorted(where))
        question = self._limited_query(table, where, fields, limit)
        if where and not question.keys:
            return []
        batches = self._condition_lookup(table, fields).batches
        answer = batches.load(question)
        try:
            rows = await answer
        except asyncio.CancelledError:
            batches.leave()
            raise
        return list(rows or ())[:limit]

    async def close(self) -> None:
        """Cancel running queries and close the Reader."""
        await close_all(
            *(lookup.batches.close for lookup in self._key_lookups.values()),
            *(conditions.batches.close for conditions in self._condition_lookups.values()),
            self._reads.close,
        )

    def _table(self, entity: str) -> EntityMapping:
        table = self._tables.get(entity)
        if table is None:
            names = ", ".join(sorted(self._tables)) or "none"
            raise Rejected(
                "unknown_entity", f"system {self._system} has no entity {entity!r}; it has {names}"
            )
        return table

    def _key_lookup(self, table: EntityMapping, fields: Fields) -> KeyLookup:
        shape = (table.spec.name, fields)
        lookup = self._key_lookups.get(shape)
        if lookup is None:
            lookup = self._key_lookups[shape] = KeyLookup(self._reads, table, fields)
        return lookup

    def _condition_lookup(self, table: EntityMapping, fields: Fields) -> ConditionLookup:
        shape = (table.spec.name, fields)
        lookup = self._condition_lookups.get(shape)
        if lookup is None:
            lookup = self._condition_lookups[shape] = ConditionLookup(self._reads, table, fields)
        return lookup

    async def _load_many(
        self, table: EntityMapping, fields: Fields, source_keys: Sequence[Values]
    ) -> list[Rows | None]:
        batches = self._key_lookup(table, fields).batches
        answers = batches.load_many(source_keys)
        try:
            return await answers
        except asyncio.CancelledError:
            batches.leave()
            raise

    def _limited_query(
        self, table: EntityMapping, where: Mapping[str, Any], fields: Fields, limit: int
    ) -> LimitedQuery:
        """The conditions in the source's own form. Raises Rejected."""
        if limit < 1:
            raise Rejected("bad_query", f"limit is {limit}; it must be at least 1")
        choices = [
            value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
            for value in (where[field] for field in fields)
        ]
        keys = [table.outward(fields, values) for values in product(*choices)] if where else []
        if any(None in key for key in keys):
            # In SQL nothing equals null, so the result would silently be empty.
            raise Rejected(
                "bad_query", f"rows of {table.entity.qualified} can't be queried by null"
            )
        if len(keys) > self._reads.max_keys:
            raise Rejected(
                "bad_query",
                f"the conditions on {table.entity.qualified} are {len(keys)} combinations; one "
                f"query takes {self._reads.max_keys}",
            )
        return LimitedQuery(tuple(dict.fromkeys(keys)), limit)


def _outward_many(table: EntityMapping, fields: Fields, keys: Sequence[Values]) -> list[Values]:
    """Values of these fields in the source's own form."""
    if len(fields) == 1:
        return table.outward_many(fields[0], [value for (value,) in keys])
    return [table.outward(fields, values) for values in keys]


def _only_row(table: EntityMapping, key: Any, rows: Rows | None) -> TracedRow | None:
    """The one row of a key, or None. Raises Rejected (`ambiguous_key`)."""
    if rows and len(rows) > 1:
        raise Rejected(
            "ambiguous_key",
            f"{table.entity.qualified} has {len(rows)} rows with the key {key!r}: its "
            "declared key is not unique in the table",
        )
    return rows[0] if rows else None


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
