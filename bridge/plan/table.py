"""An entity over its table, for single rows: values outward, rows inward, by the same plan.

The gateway, the executor of commands and snapshots of one row go through here, so that a row that
was read and `after` of the same state are equal, field by field.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from bridge.model.avro import change_schema, schema_text
from bridge.model.declare import EntitySpec
from bridge.model.errors import Rejected
from bridge.model.types import Entity
from bridge.plan.execute import Executor
from bridge.plan.make import ShapeLike, make_plan
from bridge.plan.outward import outward
from bridge.plan.record import Decoder, LazyRow
from bridge.plan.steps import Step

KEPT = 8
"""Shapes whose executors are kept: a table has one, and a few while it changes."""


class EntityTable:
    """Reads and commands of one entity. May be used by several threads.

    `shape` is the table's as the catalogue tells; rows of other shapes get plans of their own.
    Raises ConfigurationError where a declared field can't be made.
    """

    def __init__(
        self, spec: EntitySpec, entity: Entity, shape: ShapeLike, mask_key: bytes | None = None
    ) -> None:
        self.spec = spec
        self.entity = entity
        self.table = spec.table
        self._mask_key = mask_key
        self._decoder = Decoder(schema_text(change_schema(entity)), entity)
        self._steps: dict[str, Step] = {
            step.field: step for step in make_plan(spec, entity, shape).steps
        }
        self._turns: dict[str, Callable[[Any], Any]] = {}
        self._executors: dict[int, tuple[ShapeLike, Executor]] = {}
        self._using = threading.Lock()

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The source columns that these fields are made of, in order.

        Raises Rejected (`bad_key`) for a field that isn't there or can't be asked for.
        """
        for field in fields:
            self._turn(field)
        return tuple(self._steps[field].names[0] for field in fields)

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """Values of these fields as the source has them, aligned with `columns`.

        Raises Rejected (`bad_key`) that names the field.
        """
        return tuple(self._turn(field)(value) for field, value in zip(fields, values, strict=True))

    def key(self, framed: bytes) -> tuple[Any, ...]:
        """The key in a record of the log, in the source's own form: aligned with `columns` of the
        entity's key fields. Raises Rejected (`bad_key`), and ValueError for bytes that are no key.
        """
        values = self._decoder.key(framed)
        return self.outward(self.entity.key, [values[field] for field in self.entity.key])

    def row(self, shape: ShapeLike, raw: Any) -> LazyRow:
        """The row that a raw row of `shape` becomes. Raises RowError."""
        with self._using:
            return self._decoder.row(self._executor(shape).row(raw))

    def _turn(self, field: str) -> Callable[[Any], Any]:
        turn = self._turns.get(field)
        if turn is None:
            step = self._steps.get(field)
            if step is None:
                raise Rejected(
                    "bad_key",
                    f"{self.entity.qualified} has no field {field!r}; it has "
                    f"{', '.join(self._steps)}",
                )
            turn = self._turns[field] = outward(step, self.entity.qualified)
        return turn

    def _executor(self, shape: ShapeLike) -> Executor:
        known = self._executors.get(id(shape))
        # The shape is kept with its executor, so that its id stays its own.
        if known is None or known[0] is not shape:
            while len(self._executors) >= KEPT:
                del self._executors[next(iter(self._executors))]
            plan = make_plan(self.spec, self.entity, shape)
            # Rows have neither key nor headers, so the topic's numbers don't matter here.
            executor = Executor(plan, "", 0, 0, 1, mask_key=self._mask_key)
            known = self._executors[id(shape)] = (shape, executor)
        return known[1]
