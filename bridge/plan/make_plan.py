"""Makes entity types and plans out of declarations and source shapes. Pure.

Shapes are taken structurally, because the port that defines them stands above the plans.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from bridge.model.errors import ConfigurationError
from bridge.model.names import NAME
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import KEY_TYPES, Entity, Field, FieldType, holds
from bridge.plan.steps import Plan, PlanStep, Transform, Wire
from bridge.plan.undeclared_type import after_transforms


class ColumnLike(Protocol):
    """What a plan needs to know of a column; `bridge.connector.Column` fulfils it."""

    @property
    def name(self) -> str: ...
    @property
    def native(self) -> str: ...
    @property
    def type(self) -> FieldType: ...
    @property
    def wire(self) -> str: ...
    @property
    def key(self) -> bool: ...
    @property
    def captured(self) -> bool: ...


class ShapeLike(Protocol):
    """What a plan needs to know of a table; `bridge.connector.Shape` fulfils it."""

    @property
    def table(self) -> str: ...
    @property
    def columns(self) -> Sequence[ColumnLike]: ...
    @property
    def wire(self) -> Wire: ...


def entity_type(spec: EntitySpec, shape: ShapeLike, previous: Entity | None = None) -> Entity:
    """The entity that `spec` declares over a table of this shape.

    Declared fields, or one for each column. A field of `previous` whose column or declaration is
    gone stays, at its place and with its type (it will be null); one whose column is narrower, by
    now or still (a stream is repeated from before a column was widened), keeps its type. Raises
    ConfigurationError that names the field and the recovery option.
    """
    columns = {column.name: column for column in shape.columns}
    fields: dict[str, Field] = {}
    for field in _specs(spec, shape):
        missing = [name for name in field.columns if name not in columns]
        if missing:
            if previous is not None and any(old.name == field.name for old in previous.fields):
                continue
            raise ConfigurationError(
                f"{spec.qualified}, field {field.name!r}: table {shape.table!r} has no column "
                f"{missing[0]!r}; it has {', '.join(columns) or 'none'}"
            )
        kind = field.type or after_transforms(
            field, [columns[name].type for name in field.columns], spec.qualified
        )
        if field.type is None and previous is not None:
            kind = _kept(field.name, kind, previous)
        fields[field.name] = Field(field.name, kind)
    ordered = [fields.pop(old.name, old) for old in (previous.fields if previous else ())]
    ordered.extend(fields.values())
    key = _key(spec, shape, previous)
    _check(spec, key, ordered, shape)
    return Entity(spec.system, spec.name, key, tuple(ordered), spec.relations, spec.version)


def _kept(name: str, field_type: FieldType, previous: Entity) -> FieldType:
    """The type that the field had, where that holds every value of `field_type` as it is."""
    old = next((field.type for field in previous.fields if field.name == name), field_type)
    return old if holds(old, field_type) else field_type


def make_plan(spec: EntitySpec, entity: Entity, shape: ShapeLike) -> Plan:
    """The plan that turns raw rows of `shape` into records of `entity`.

    Raises ConfigurationError if a key column is gone or a transform can't apply to its column.
    """
    at = {column.name: index for index, column in enumerate(shape.columns)}
    declared = {field.name: field for field in _specs(spec, shape)}
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


def field_name(column: str) -> str:
    """The field name that an undeclared column gets: lower case, other signs as underscores."""
    name = re.sub(r"[^a-z0-9_]", "_", column.lower())
    return name[:63] if re.match("[a-z]", name) else f"c_{name}"[:63]


def _specs(spec: EntitySpec, shape: ShapeLike) -> tuple[FieldSpec, ...]:
    if spec.fields:
        return spec.fields
    specs: dict[str, FieldSpec] = {}
    for column in shape.columns:
        name = field_name(column.name)
        if name in specs:
            raise ConfigurationError(
                f"{spec.qualified}: columns {specs[name].columns[0]!r} and {column.name!r} of "
                f"{shape.table!r} would both become field {name!r}; declare `fields` with `from`"
            )
        specs[name] = FieldSpec(name, (column.name,))
    return tuple(specs.values())


def _key(spec: EntitySpec, shape: ShapeLike, previous: Entity | None) -> tuple[str, ...]:
    if spec.key:
        return spec.key
    specs = _specs(spec, shape)
    primary = [column.name for column in shape.columns if column.key]
    names = []
    for column in primary:
        fields = [field.name for field in specs if field.columns == (column,)]
        if not fields:
            raise ConfigurationError(
                f"{spec.qualified}: no field is made from {column!r} alone, which is part of the "
                f"primary key of {shape.table!r}; add such a field, or declare `key`"
            )
        names.append(fields[0])
    if names:
        return tuple(names)
    if previous is not None:
        return previous.key
    raise ConfigurationError(
        f"{spec.qualified}: table {shape.table!r} has no primary key; declare `key` with the "
        "fields that identify a row"
    )


def _check(spec: EntitySpec, key: tuple[str, ...], fields: list[Field], shape: ShapeLike) -> None:
    by_name = {field.name: field for field in fields}
    for name in key:
        if name not in by_name:
            raise ConfigurationError(
                f"{spec.qualified}: key field {name!r} is not among its fields: "
                f"{', '.join(by_name)}"
            )
        kind = by_name[name].type
        if kind.name not in KEY_TYPES:
            raise ConfigurationError(
                f"{spec.qualified}: key field {name!r} is {kind}, which can't be a key; use one "
                f"of {', '.join(sorted(KEY_TYPES))}"
            )
    for field in spec.fields:
        if field.name in key and field.mask == "drop":
            raise ConfigurationError(
                f"{spec.qualified}: key field {field.name!r} has `mask: drop`, so that no row "
                "would have a key; use another key"
            )
    if spec.version and spec.version not in by_name:
        raise ConfigurationError(
            f"{spec.qualified}: version field {spec.version!r} is not among its fields: "
            f"{', '.join(by_name)}"
        )
    for relation in spec.relations:
        for start in relation.from_fields or relation.on:
            if start not in by_name:
                raise ConfigurationError(
                    f"{spec.qualified}: relation {relation.name!r} starts at field "
                    f"{start!r}, which is not among its fields: {', '.join(by_name)}"
                )
    for name in by_name:
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{spec.qualified}: {name!r} made from table {shape.table!r} is not a valid field "
                "name; declare `fields` with names of lower-case letters, digits and underscores"
            )


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
