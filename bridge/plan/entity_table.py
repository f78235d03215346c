"""An entity over its table, for single rows: values outward, rows inward, by the same plan.

The gateway, the executor of commands and snapshots of one row go through here, so that a row that
was read and `after` of the same state are equal, field by field.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.model.avro import change_schema, schema_text
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.framing import HEADER_SIZE
from bridge.model.specs import EntitySpec
from bridge.model.suggestions import did_you_mean
from bridge.model.types import Entity
from bridge.plan.coerce_number import MAX_LONG, MIN_LONG
from bridge.plan.entity_type import ColumnLike, ShapeLike, entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.lazy_record import Decoder, LazyRow
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import PlanStep, Wire
from bridge.plan.stored_form import FieldForm
from bridge.plan.to_source import are_unchanged, source_converter, unchanged_type, why_unordered

MAX_PLANS = 8
"""Shapes whose executors are kept: a table has one, and a few while it changes."""
MAX_EARLIER_ENTITIES = 4
"""Earlier forms of an entity whose versions are still accepted."""


@dataclass(frozen=True, slots=True)
class _CapturedShape:
    """The columns of a shape that changes have, too: those that an entity is made of."""

    table: str
    columns: tuple[ColumnLike, ...]
    wire: Wire


class _Generation:
    """The entity over one shape of its table, and what turns rows and values of it."""

    def __init__(self, spec: EntitySpec, entity: Entity, shape: ShapeLike) -> None:
        self.entity = entity
        self.types = {column.name: column.type for column in shape.columns}
        self.decoder = Decoder(schema_text(change_schema(entity)), entity)
        self.steps: dict[str, PlanStep] = {
            step.field: step for step in make_plan(spec, entity, shape).steps
        }
        self.turns: dict[str, Callable[[Any], Any]] = {}
        #: Field -> the type of values that are most probably the source's as they are.
        self.unchanged = {field: unchanged_type(step) for field, step in self.steps.items()}
        self.forms: dict[str, FieldForm] = {}
        self.exact_texts = frozenset(column.name for column in shape.columns if column.exact_text)


class EntityTable:
    """Reads and commands of one entity. May be used by several threads.

    `shape` is the table's, by the catalogue. Rows of other shapes get plans of their own, and
    where those have other columns the entity follows, as that of its events does: new columns
    become fields, and a field whose column is gone stays and is null. Raises ConfigurationError
    where a declared field can't be made.
    """

    def __init__(
        self, spec: EntitySpec, entity: Entity, shape: ShapeLike, mask_key: bytes | None = None
    ) -> None:
        self.spec = spec
        self.table = spec.table
        self._mask_key = mask_key
        self._generation = _Generation(spec, entity, shape)
        self._earlier: tuple[Entity, ...] = ()
        self._plans: dict[int, tuple[ShapeLike, RowEncoder, _Generation]] = {}
        self._using = threading.RLock()

    @property
    def entity(self) -> Entity:
        """The entity as it is by now."""
        return self._generation.entity

    @property
    def earlier(self) -> tuple[Entity, ...]:
        """What it was before, the newest first: events of then are still on their way."""
        return self._earlier

    def remember(self, *entities: Entity) -> None:
        """It was these before; those that it still is are left out."""
        fresh = [entity for entity in entities if entity.fields != self.entity.fields]
        self._earlier = (*fresh, *self._earlier)[:MAX_EARLIER_ENTITIES]

    def entity_of(self, shape: ShapeLike) -> Entity:
        """The entity that rows of this shape are of."""
        with self._using:
            return self._plan(shape)[2].entity

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The source columns that these fields are made of, in order.

        Raises Rejected (`bad_key`) for a field that isn't there or can't be asked for.
        """
        for field in fields:
            self._turn(field)
        return tuple(self._generation.steps[field].names[0] for field in fields)

    def ordered_column(self, field: str) -> str:
        """The source column of the field, whose values the source compares as the field's are.

        Raises Rejected (`bad_key`) for a field that isn't there, or is made otherwise.
        """
        self._turn(field)
        step = self._generation.steps[field]
        why = why_unordered(step)
        if why:
            raise Rejected(
                "bad_key",
                f"{self.entity.qualified}: rows can't be sorted or compared by {field!r}: {why}",
            )
        return step.names[0]

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        """Values of these fields as the source has them, aligned with `columns`.

        Raises Rejected (`bad_key`) that names the field.
        """
        if len(fields) == len(values) == 1:
            [field], [value] = fields, values
            kind = type(value)
            if kind is self._generation.unchanged.get(field) and (
                MIN_LONG <= value <= MAX_LONG if kind is int else value.isascii()
            ):
                return (value,)
            turn = self._generation.turns.get(field) or self._turn(field)
            return (turn(value),)
        return tuple(self._turn(field)(value) for field, value in zip(fields, values, strict=True))

    def outward_many(self, field: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """As `outward`, for many values of one field."""
        turn = self._turn(field)
        if are_unchanged(self._generation.steps[field], values):
            return list(zip(values))
        return [(turn(value),) for value in values]

    def is_exact(self, fields: Sequence[str]) -> bool:
        """Whether the source's equality is that of the log, for each of these fields."""
        return all(self._form(field).is_exact for field in fields)

    def stored_values(
        self, fields: Sequence[str], values: Sequence[Any], source_values: Sequence[Any]
    ) -> tuple[Any, ...] | None:
        """Values of these fields as rows of events have them; None: nobody can say.

        source_values: the same, as `outward` returned them.
        """
        forms = [self._form(field) for field in fields]
        stored = tuple(
            [
                form.value(value, source)
                for form, value, source in zip(forms, values, source_values, strict=True)
            ]
        )
        return None if None in stored else stored

    def stored_key(self, values: Sequence[Any], source_values: Sequence[Any]) -> bytes | None:
        """The log's key less its schema id, of values in the order of the entity's key fields; None:
        nobody can say. `source_values`: the same, as `outward` returned them.
        """
        fields = self._generation.entity.key
        stored = self.stored_values(fields, values, source_values)
        if stored is None:
            return None
        parts = [
            self._form(field).encode_key(value) for field, value in zip(fields, stored, strict=True)
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def stored_keys(self, shape: ShapeLike, raws: Sequence[Any]) -> list[bytes]:
        """The log's key less its schema id, of each raw row. Raises RowError."""
        with self._using:
            return [key[HEADER_SIZE:] for key in self._plan(shape)[1].keys(raws)]

    def key(self, framed: bytes) -> tuple[Any, ...]:
        """The key in a record of the log, in the source's own form: aligned with `columns` of the
        entity's key fields. Raises Rejected (`bad_key`), and ValueError for bytes that are no key.
        """
        values = self._generation.decoder.key(framed)
        return self.outward(self.entity.key, [values[field] for field in self.entity.key])

    def row(self, shape: ShapeLike, raw: Any) -> LazyRow:
        """The row that a raw row of `shape` becomes. Raises RowError."""
        with self._using:
            _, executor, generation = self._plan(shape)
            return generation.decoder.row(executor.row(raw))

    def rows(self, shape: ShapeLike, raws: Sequence[Any]) -> list[LazyRow]:
        """As `row`, of many raw rows, aligned."""
        with self._using:
            _, executor, generation = self._plan(shape)
            return generation.decoder.encoded_rows(map(executor.row, raws))

    def partial_rows(self, shape: ShapeLike, raws: Sequence[Any]) -> list[LazyRow]:
        """As `rows`, where columns may be missing: reading a field made of them raises Unavailable."""
        with self._using:
            _, executor, generation = self._plan(shape)
            encode, decode = executor.partial_row, generation.decoder.partial_row
            return [decode(*encode(raw)) for raw in raws]

    def _turn(self, field: str) -> Callable[[Any], Any]:
        generation = self._generation
        turn = generation.turns.get(field)
        if turn is None:
            step = generation.steps.get(field)
            if step is None:
                raise Rejected(
                    "bad_key",
                    f"{self.entity.qualified} has no field {field!r}"
                    f"{did_you_mean(field, generation.steps)}; it has {', '.join(generation.steps)}",
                )
            turn = generation.turns[field] = source_converter(step, self.entity.qualified)
        return turn

    def _form(self, field: str) -> FieldForm:
        generation = self._generation
        form = generation.forms.get(field)
        if form is None:
            turn = self._turn(field)
            step = generation.steps[field]
            form = generation.forms[field] = FieldForm(
                step,
                self.entity.qualified,
                turn,
                self._mask_key,
                has_exact_text=step.names[0] in generation.exact_texts,
            )
        return form

    def _plan(self, shape: ShapeLike) -> tuple[ShapeLike, RowEncoder, _Generation]:
        planned = self._plans.get(id(shape))
        # The shape is kept with its executor, so that its id stays its own.
        if planned is None or planned[0] is not shape:
            while len(self._plans) >= MAX_PLANS:
                del self._plans[next(iter(self._plans))]
            generation = self._follow(shape)
            plan = make_plan(self.spec, generation.entity, shape)
            # Rows have neither key nor headers, so the topic's numbers don't matter here.
            executor = RowEncoder(plan, "", 0, 0, 1, mask_key=self._mask_key)
            planned = self._plans[id(shape)] = (shape, executor, generation)
        return planned

    def _follow(self, shape: ShapeLike) -> _Generation:
        """The generation of a shape that wasn't seen before."""
        latest = self._generation
        columns = tuple(column for column in shape.columns if column.captured)
        types = {column.name: column.type for column in columns}
        if types == latest.types:
            return latest
        captured = _CapturedShape(shape.table, columns, shape.wire)
        try:
            entity = entity_type(self.spec, captured, latest.entity)
            following = _Generation(self.spec, entity, captured)
        except ConfigurationError:
            # Such as a key that is gone: the plan of its rows says so.
            return latest
        self._generation = following
        self.remember(latest.entity)
        return following
