"""An entity mapped onto its table, with the conversions that the gateway and the command executor
use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from bridge.connector import Shape
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity


class EntityMapping(Protocol):
    """Converts field values to the source's own form and raw rows to rows of the entity.

    Both use the plan that also normalises changes: a row that was read equals the `after` of a
    change to the same state, field by field, and their versions are comparable. Does no I/O.

    `spec`: the declaration, with the name of the table.
    `entity`: the current type; it follows the table's columns.
    `earlier`: the types before each change of the table's shape, newest first.
    """

    @property
    def spec(self) -> EntitySpec: ...

    @property
    def entity(self) -> Entity: ...

    @property
    def earlier(self) -> Sequence[Entity]: ...

    def entity_of(self, shape: Shape) -> Entity:
        """The type of rows of this shape."""

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The source columns of these fields, in the same order.

        Raises Rejected (`bad_key`) for a field that doesn't exist or can't be queried by.
        """

    def ordered_column(self, field: str) -> str:
        """The source column that is sorted as the field is.

        Raises Rejected (`bad_key`) as `columns`, and where a conversion changes the order.
        """

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """Values of these fields in the source's own form, aligned with `columns`.

        Raises Rejected (`bad_key`), which names the field.
        """

    def outward_many(self, field: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """As `outward`, for many values of one field."""

    def is_exact(self, fields: Sequence[str]) -> bool:
        """Whether values of these fields are the same to the source exactly if they are the same in
        the log; not with a collation without case, or blanks that don't count.
        """

    def stored_values(
        self, fields: Sequence[str], values: Sequence[Any], source_values: Sequence[Any]
    ) -> tuple[Any, ...] | None:
        """Values of these fields as rows of events have them; None: nobody can say.

        source_values: the same, as `outward` returned them.
        """

    def stored_key(self, values: Sequence[Any], source_values: Sequence[Any]) -> bytes | None:
        """The log's key less its schema id, of values in the order of the entity's key fields; None:
        nobody can say. `source_values`: as of `stored_values`.
        """

    def stored_keys(self, shape: Shape, raws: Sequence[Any]) -> list[bytes]:
        """The log's key less its schema id, of each raw row. Raises RowError."""

    def row(self, shape: Shape, raw: Any) -> Any:
        """Convert a raw row. Raises RowError."""

    def rows(self, shape: Shape, raws: Sequence[Any]) -> list[Any]:
        """Convert raw rows, aligned. Raises RowError if one of them can't be converted."""

    def partial_rows(self, shape: Shape, raws: Sequence[Any]) -> list[Any]:
        """As `rows`, of raw rows with MISSING columns: reading a field made of one raises
        Unavailable.
        """
