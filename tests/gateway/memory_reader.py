"""A Reader and a Table over rows in memory: fakes of the two ports behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.agent.sample_types import PlainRow
from bridge.connector import Ask, Column, ReaderFeatures, Rows, Shape, refuse_unsupported
from bridge.model.errors import Rejected, RetryLater
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity, Field, FieldType, Relation
from bridge.plan.steps import Wire

TEXT = FieldType("string")


@dataclass
class MemoryReader:
    """Records each query; `poison` keys can't be asked for; `gate` holds queries back."""

    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    max_keys: int = 1000
    poison: frozenset[str] = frozenset()
    away: bool = False
    gate: asyncio.Event | None = None
    queries: list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    closed: bool = False
    features: ReaderFeatures = field(default_factory=ReaderFeatures)

    async def fetch(self, ask: Ask) -> Rows:
        refuse_unsupported(ask, self.features)
        table, columns, keys = ask.table, ask.columns, ask.keys
        self.queries.append((table, tuple(columns), list(keys)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            if self.away:
                raise RetryLater("the system is away")
            if any(value in self.poison for key in keys for value in key):
                raise Rejected("bad_key", "one of the keys can't be asked for")
            rows = [
                row
                for row in self.tables[table]
                if not columns or tuple(row[column] for column in columns) in keys
            ]
        finally:
            self.at_once -= 1
        shape = shape_of(table, list(self.tables[table][0]))
        return Rows(shape, [tuple(row.values()) for row in rows[: ask.limit]])

    async def close(self) -> None:
        self.closed = True


def shape_of(table: str, columns: Sequence[str]) -> Shape:
    return Shape(table, tuple(Column(name, "TEXT", TEXT, "text") for name in columns), Wire.PYTHON)


class PaddedTable:
    """Fields are columns in lower case; key-like values are padded with zeros at the source."""

    earlier: Sequence[Entity] = ()

    def __init__(
        self,
        name: str,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        relations: Sequence[Relation] = (),
        padded: Sequence[str] = (),
    ) -> None:
        self.spec = EntitySpec("erp", name, table)
        self.entity = Entity(
            "erp",
            name,
            tuple(key),
            tuple(Field(column.lower(), TEXT) for column in columns),
            tuple(relations),
        )
        self._padded = frozenset(padded or key)

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        return tuple(field.upper() for field in fields)

    def ordered_column(self, field: str) -> str:
        return field.upper()

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            str(value).zfill(4) if field in self._padded else value
            for field, value in zip(fields, values, strict=True)
        )

    def outward_many(self, field: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return [self.outward((field,), (value,)) for value in values]

    def entity_of(self, shape: Shape) -> Entity:
        return self.entity

    def is_exact(self, fields: Sequence[str]) -> bool:
        return self._padded.isdisjoint(fields)

    def stored_values(
        self, fields: Sequence[str], values: Sequence[Any], source_values: Sequence[Any]
    ) -> tuple[Any, ...] | None:
        del source_values
        return tuple(
            str(value).lstrip("0") if field in self._padded else value
            for field, value in zip(fields, values, strict=True)
        )

    def stored_key(self, values: Sequence[Any], source_values: Sequence[Any]) -> bytes | None:
        stored = self.stored_values(self.entity.key, values, source_values)
        return None if stored is None else repr(stored).encode()

    def stored_keys(self, shape: Shape, raws: Sequence[Any]) -> list[bytes]:
        rows = self.rows(shape, raws)
        return [repr(tuple(row[field] for field in self.entity.key)).encode() for row in rows]

    def row(self, shape: Shape, raw: Any) -> PlainRow:
        return PlainRow(
            {
                column.name.lower(): (
                    value.lstrip("0") if column.name.lower() in self._padded else value
                )
                for column, value in zip(shape.columns, raw, strict=True)
            }
        )

    def rows(self, shape: Shape, raws: Sequence[Any]) -> list[PlainRow]:
        return [self.row(shape, raw) for raw in raws]

    def partial_rows(self, shape: Shape, raws: Sequence[Any]) -> list[PlainRow]:
        return self.rows(shape, raws)
