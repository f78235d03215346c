"""What changes do to the rows of a view. Pure, but for the look at rows that are held."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.gateway.view.index_values import NoIndexValue
from bridge.gateway.view.row_parts import (
    UNKNOWN,
    ChangeParts,
    RowLayout,
    RowWrite,
    compact_position,
    position_text,
    row_write,
)
from bridge.gateway.view.table_forms import TableForm
from bridge.gateway.view.view_store import HeldRow, Writes
from bridge.model.framing import schema_id

Layouts = Mapping[int, RowLayout]
"""Of one entity, by the registry's id of the schema."""


class PendingWrites:
    """Rows that are to be written together; the last change of a key counts.

    forms: by bare entity name.
    held: the row of an entity's key in the file.
    """

    def __init__(
        self, forms: Mapping[str, TableForm], held: Callable[[str, bytes], HeldRow | None]
    ) -> None:
        self._forms = forms
        self._held = held
        self._writes: dict[str, dict[bytes, RowWrite | None]] = {}
        self.count = 0

    def add(self, entity: str, key: bytes, change: ChangeParts, layouts: Layouts) -> None:
        """Apply a change. `layouts`: of the entity; they include that of the change's schema."""
        writes = self._writes.setdefault(entity, {})
        self.count += 1
        row = change.row
        if row is None:
            writes[key] = None
            return
        if not change.missing:
            writes[key] = row_write(key, compact_position(change.position), row, change.indexed)
            return
        held = self._latest(entity, key)
        merged = None if held is None else _merged(change, row, held, layouts)
        unknown = (UNKNOWN, (None,) * len(self._forms[entity].indexed))
        data, indexed = merged or unknown
        # A merged row is as whole as the one that it continues.
        position = change.position if merged is None or held is None else held.position
        writes[key] = row_write(key, compact_position(position), data, indexed)

    def mark_unknown(self, entity: str, key: bytes, position: str) -> None:
        """A change of this key can't be read."""
        indexed = (None,) * len(self._forms[entity].indexed)
        write = row_write(key, compact_position(position), UNKNOWN, indexed)
        self._writes.setdefault(entity, {})[key] = write
        self.count += 1

    def take(self) -> Writes:
        """All writes so far; the next ones are others'."""
        writes, self._writes, self.count = self._writes, {}, 0
        return writes

    def _latest(self, entity: str, key: bytes) -> HeldRow | None:
        writes = self._writes[entity]
        if key not in writes:
            return self._held(entity, key)
        write = writes[key]
        return None if write is None else HeldRow(position_text(write[1]), write[2])


def _merged(
    change: ChangeParts, row: bytes, held: HeldRow, layouts: Layouts
) -> tuple[bytes, tuple[bytes | None, ...]] | None:
    """The whole row and its indexed values; None where what is held doesn't complete it."""
    if held.row == UNKNOWN:
        return None
    layout = layouts[schema_id(row)]
    merged = layout.merged(row, held.row, layouts[schema_id(held.row)], change.missing)
    if merged == UNKNOWN:
        return None
    try:
        return merged, layout.index_of(merged, layout.offsets(merged))
    except NoIndexValue:
        return None
