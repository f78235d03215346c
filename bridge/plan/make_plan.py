"""Makes plans out of entities and source shapes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import Entity
from bridge.plan.entity_type import ColumnLike, ShapeLike, field_specs
from bridge.plan.steps import Plan, PlanStep, Transform


def make_plan(spec: EntitySpec, entity: Entity, shape: ShapeLike) -> Plan:
    """The plan that turns raw rows of `shape` into records of `entity`.

    Raises ConfigurationError if a key column is gone or a transform can't apply to its column.
    """
    at = {column.name: index for index, column in enumerate(shape.columns)}
    declared = {field.name: field for field in field_specs(spec, shape)}
    steps = []
    masked: set[int] = set()
    for field in entity.fields:
        field_spec = declared.get(field.name)
        key = field.name in entity.key
        if field_spec is None or any(name not in at for name in field_spec.columns):
            if key:
                raise ConfigurationError(
                    f"{entity.qualified}: key field {field.name!r} has lost its column in table "
                    f"{shape.table!r}; a changed key needs a new entity name"
                )
            steps.append(PlanStep(field.name, (), (), (), (), field.type))
            continue
        indexes = tuple(at[name] for name in field_spec.columns)
        used = [shape.columns[index] for index in indexes]
        if field_spec.mask:
            masked.update(indexes)
        steps.append(
            PlanStep(
                field.name,
                indexes,
                field_spec.columns,
                tuple(column.wire for column in used),
                _transforms(field_spec, used, entity.qualified),
                field.type,
                key,
                tuple(column.type for column in used),
            )
        )
    names = tuple(column.name for column in shape.columns)
    return Plan(entity, shape.wire, names, tuple(steps), frozenset(masked))


def _transforms(
    field: FieldSpec, columns: Sequence[ColumnLike], entity: str
) -> tuple[Transform, ...]:
    """The transforms of a field in the order in which they apply."""
    transforms = []
    if field.code_page:
        transforms.append(Transform("code_page", (field.code_page,)))
    if field.trim:
        transforms.append(Transform("trim"))
    if field.format:
        transforms.append(Transform("format", (field.format, field.zone)))
    elif field.zone:
        transforms.append(Transform("zone", (field.zone,)))
    if field.map is not None:
        transforms.append(Transform("map", tuple(field.map.items())))
    if field.zeros:
        transforms.append(Transform("zeros", (field.zeros,)))
    if field.unit:
        transforms.append(Transform("unit", (field.unit,)))
    if field.mask:
        transforms.append(Transform("mask", (field.mask,)))
    if field.call:
        transforms.append(Transform("call", (field.call,)))
    field_text = f"{entity}, field {field.name!r}"
    if len(columns) > 1 and not field.format:
        raise ConfigurationError(
            f"{field_text}: it is made from {len(columns)} columns, which only `format` can join"
        )
    if field.zeros and columns[0].type.name not in {"string", "bytes", "json"}:
        raise ConfigurationError(
            f"{field_text}: `zeros` pads text, but column {columns[0].name!r} is {columns[0].native}; "
            "leave it out, a number has no leading zeros"
        )
    if (
        field.zone
        and not field.format
        and columns[0].type.name
        not in {
            "local_timestamp",
            "string",
            "date",
        }
    ):
        raise ConfigurationError(
            f"{field_text}: `zone` turns a local time into an instant, but column {columns[0].name!r} "
            f"is {columns[0].native}; leave it out"
        )
    return tuple(transforms)
