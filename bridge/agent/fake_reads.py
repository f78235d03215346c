"""The legacy system of a test: rows in memory, read through the port `EntityReads`.

It counts queries as the gateway sends them: reads of one shape that wait at the same time are
one query, and a row that was read is cached until it changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.agent.sample_types import PlainRow, entity_of_rows
from bridge.agent.selected_rows import projected, select_rows
from bridge.model.canonical import canonical_json
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.read_demands import NO_DEMANDS, ReadDemands, check_demands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.model.types import Entity, Relation

QueryShape = tuple[str, tuple[str, ...]]


class FakeReads:
    """Rows by entity. `queries` counts the queries that a legacy system would have received."""

    def __init__(
        self,
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        keys: Mapping[str, Sequence[str]],
        relations: Mapping[str, Sequence[Relation]],
        clock: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._relations = relations
        self._clock = clock
        self._samples: dict[str, list[Mapping[str, Any]]] = {}
        self._rows: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._read_texts: dict[QueryShape, set[str]] = {}
        self._asking: dict[QueryShape, asyncio.Future[None]] = {}
        self.queries = 0
        self.entities: dict[str, Entity] = {}
        for qualified, sample_rows in rows.items():
            self.entity_of(qualified, sample_rows)
            for row in sample_rows:
                self.put(qualified, row)

    def entity_of(self, qualified: str, rows: Sequence[Mapping[str, Any]]) -> Entity:
        """The entity's type: what is known of it, extended by what `rows` contain."""
        seen = self._samples.setdefault(qualified, [])
        seen.extend(rows)
        earlier = self.entities.get(qualified)
        key = self._keys.get(qualified, ()) or (earlier.key if earlier else ())
        entity = entity_of_rows(qualified, seen, key, self._relations.get(qualified, ()))
        self.entities[qualified] = entity
        return entity

    def put(self, qualified: str, row: Mapping[str, Any]) -> None:
        """Store the row's new state; it is no longer cached."""
        self._rows.setdefault(qualified, {})[self.key_text(qualified, row)] = dict(row)
        self._forget(qualified)

    def drop(self, qualified: str, key: Mapping[str, Any]) -> None:
        """Delete the row."""
        self._rows.get(qualified, {}).pop(self.key_text(qualified, key), None)
        self._forget(qualified)

    def row(self, qualified: str, key: Any) -> Mapping[str, Any] | None:
        """The row's current values, without counting a query."""
        return self._rows.get(qualified, {}).get(self.key_text(qualified, key))

    def key_text(self, qualified: str, key: Any) -> str:
        """One text for each key. Raises Rejected (`bad_key`)."""
        names = self._entity(qualified).key
        if not isinstance(key, Mapping):
            if len(names) != 1:
                raise Rejected("bad_key", f"the key of {qualified} has {', '.join(names)}")
            key = {names[0]: key}
        missing = [name for name in names if name not in key]
        if missing:
            raise Rejected(
                "bad_key", f"the key of {qualified} has no value for {', '.join(missing)}"
            )
        return canonical_json([key[name] for name in names])

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """As the port says."""
        return (await self.get_many(entity, [key], demands))[0]

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """As the port says."""
        check_demands(demands)
        texts = [self.key_text(entity, key) for key in keys]
        await self._ask((entity, self._entity(entity).key), texts, is_fresh=demands.fresh)
        stored = self._rows.get(entity, {})
        return [self._row_of(entity, stored[t]) if t in stored else None for t in texts]

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """As the port says."""
        check_demands(demands)
        declared = {candidate.name: candidate for candidate in self._entity(entity).relations}.get(
            relation
        )
        if declared is None:
            raise ConfigurationError(
                f"{entity} has no relation {relation!r}; pass it with "
                f"agent.test(..., relations={{{entity!r}: [...]}})"
            )
        other = f"{entity.partition('.')[0]}.{declared.entity}"
        starts, targets = declared.ends(self._entity(entity).key, self._entity(other).key)
        where = {name: row[field] for field, name in zip(starts, targets, strict=True)}
        if not declared.from_field:
            return await self._matching(other, where, demands)
        return None if None in where.values() else await self.get(other, where, demands)

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """As the port says."""
        check_demands(demands)
        equal = {name: value for name, value in where.items() if not isinstance(value, Mapping)}
        question = canonical_json(
            [dict(where), list(selection.order), list(selection.fields or ())]
        )
        await self._ask((entity, tuple(where)), [question], is_fresh=demands.fresh)
        key = self._entity(entity).key
        rows = select_rows(self._equal_rows(entity, equal), key, where, selection)
        return [self._row_of(entity, projected(row, key, selection)) for row in rows[:limit]]

    async def _matching(
        self, entity: str, where: Mapping[str, Any], demands: ReadDemands
    ) -> list[Any]:
        self._entity(entity)
        text = canonical_json(dict(where))
        await self._ask((entity, tuple(where)), [text], is_fresh=demands.fresh)
        return [self._row_of(entity, row) for row in self._equal_rows(entity, where)]

    def _equal_rows(self, entity: str, where: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        wanted = {n: v if isinstance(v, (list, tuple, set)) else [v] for n, v in where.items()}
        return [
            row
            for row in self._rows.get(entity, {}).values()
            if all(row.get(name) in values for name, values in wanted.items())
        ]

    async def _ask(self, shape: QueryShape, texts: Sequence[str], *, is_fresh: bool) -> None:
        read_texts = self._read_texts.setdefault(shape, set())
        if not is_fresh and read_texts.issuperset(texts):
            return
        asking = self._asking.get(shape)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = self._asking[shape] = loop.create_future()
            # Twice, so that readers that ask one step of the loop later still join.
            loop.call_soon(loop.call_soon, self._send, shape, asking)
        await asyncio.shield(asking)
        read_texts.update(texts)

    def _send(self, shape: QueryShape, asking: asyncio.Future[None]) -> None:
        self.queries += 1
        del self._asking[shape]
        asking.set_result(None)

    def _forget(self, qualified: str) -> None:
        for shape, read_texts in self._read_texts.items():
            if shape[0] == qualified:
                read_texts.clear()

    def _row_of(self, entity: str, values: Mapping[str, Any]) -> TracedRow:
        kind = self._entity(entity)
        full = {field.name: values.get(field.name) for field in kind.fields}
        return TracedRow(PlainRow(full), Provenance(entity, "test", self._clock()), kind)

    def _entity(self, qualified: str) -> Entity:
        entity = self.entities.get(qualified)
        if entity is None:
            names = ", ".join(sorted(self.entities)) or "none"
            raise ConfigurationError(
                f"the test has no rows of {qualified} (it has: {names}); pass them to agent.test"
            )
        return entity
