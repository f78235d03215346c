"""What the gateway needs from the rest; `bridge.wiring` hands it in.

get / get_many / related / query  ->  cache  ->  batcher  ->  limiter  ->  Reader
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from bridge.connector import Shape
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity


class Table(Protocol):
    """An entity over its table: values outward to the source's own form, rows inward.

    Both through the plan that also normalises changes, so that a row that was read and `after`
    of the same state are equal, field by field. Does no I/O.
    """

    @property
    def spec(self) -> EntitySpec: ...

    @property
    def entity(self) -> Entity: ...

    def entity_of(self, shape: Shape) -> Entity:
        """The entity that rows of this shape are of; it follows the table's columns."""

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The source columns that these fields are made of, in order.

        Raises Rejected (`bad_key`) for a field that isn't there or can't be asked for.
        """

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """Values of these fields as the source has them, aligned with `columns`.

        Raises Rejected (`bad_key`) that names the field.
        """

    def row(self, shape: Shape, raw: Any) -> Any:
        """The row that a raw row becomes. Raises RowError."""


class Cache(Protocol):
    """Answers reads without a query. None of the first form's gateways has one."""

    def lookup(self, entity: str, key: tuple[Any, ...]) -> Any | None:
        """The row as it is known, or None when it must be read."""

    def fill(self, entity: str, key: tuple[Any, ...], row: Any) -> None:
        """A row was read."""
