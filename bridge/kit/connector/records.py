"""Raw rows as records, through the same plans as everywhere in the bridge."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from bridge.connector import CREATE, DELETE, UPDATE, Change, Shape
from bridge.kit.connector.legacy import COLUMNS, KEY
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type

Record = dict[str, Any]
_TYPED = re.compile(r"id|c\d+")


class HistoryStep(NamedTuple):
    """One step of a key's history. `before` is None where the source gave no whole old row."""

    op: int
    key: tuple[Any, ...]
    before: Record | None
    after: Record | None


class RecordDecoder:
    """Records of one table; `shape` is what `Connector.describe` said of it.

    Columns of the system's own are left out. Where one of those is the key, rows go by their
    `order_no` nevertheless, which is remembered (`names`) for deletes that hold the key alone; the
    delete of a row that was never seen is left out, because nobody could say which it was.
    """

    def __init__(self, shape: Shape) -> None:
        spec = EntitySpec("legacy", "kit", shape.table)
        self.entity = entity_type(spec, shape)
        self._table = EntityTable(spec, self.entity, shape)
        fields = tuple(FieldSpec(name, (name,)) for name in self.entity.key)
        keys = EntitySpec("legacy", "kit", shape.table, self.entity.key, fields)
        self._keys = EntityTable(keys, entity_type(keys, shape), shape)
        names = [field.name for field in self.entity.fields]
        self.field_names = [
            name for name in names if (name in COLUMNS if KEY in names else _TYPED.fullmatch(name))
        ]
        self._own_key = KEY in names and self.entity.key != (KEY,)
        self.names: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def row(self, shape: Shape, raw: Any) -> Record:
        """The record of a whole raw row."""
        entity_row = self._table.row(shape, raw)
        record = {name: getattr(entity_row, name) for name in self.field_names}
        if self._own_key:
            key = tuple(getattr(entity_row, name) for name in self.entity.key)
            self.names[key] = (record[KEY],)
        return record

    def fields(self, shape: Shape, raw: Any, names: Iterable[str]) -> Record:
        """These fields of a raw row, of which others may be missing."""
        (entity_row,) = self._table.partial_rows(shape, [raw])
        return {name: entity_row[name] for name in names}

    def source_value(self, field: str, value: Any) -> Any:
        """The value of a field as the source has it."""
        return self._table.outward((field,), (value,))[0]

    def key(self, shape: Shape, raw: Any) -> tuple[Any, ...]:
        """The key of a raw row, of which only the key needs to be there."""
        key_row = self._keys.row(shape, raw)
        key = tuple(getattr(key_row, name) for name in self.entity.key)
        return self.names.get(key, key)

    def steps(self, changes: Iterable[Change]) -> list[HistoryStep]:
        """The history steps of changes; a changed key is a delete and a create."""
        steps: list[HistoryStep] = []
        for change in changes:
            steps += self._steps_of(change)
        return steps

    def _steps_of(self, change: Change) -> list[HistoryStep]:
        shape = change.shape
        before = self.row(shape, change.old) if change.old_full else None
        if change.op == DELETE:
            key = self.key(shape, change.old)
            if self._own_key and key not in self.names.values():
                return []
            return [HistoryStep(DELETE, key, before, None)]
        after = self.row(shape, change.new)
        key = self.key(shape, change.new)
        if change.op == CREATE:
            return [HistoryStep(CREATE, key, None, after)]
        assert change.op == UPDATE, f"a change has the op {change.op}"
        if change.old is not None and (old := self.key(shape, change.old)) != key:
            return [HistoryStep(DELETE, old, before, None), HistoryStep(CREATE, key, None, after)]
        return [HistoryStep(UPDATE, key, before, after)]
