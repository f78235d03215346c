"""The fields of an entity and their types, by its declaration and the source's shape. Pure.

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
from bridge.plan.inferred_type import after_transforms
from bridge.plan.steps import Wire


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
    @property
    def exact_text(self) -> bool: ...


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
    for field in field_specs(spec, shape):
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


def field_name(column: str) -> str:
    """The field name that an undeclared column gets: lower case, other signs as underscores."""
    name = re.sub(r"[^a-z0-9_]", "_", column.lower())
    return name[:63] if re.match("[a-z]", name) else f"c_{name}"[:63]


def field_specs(spec: EntitySpec, shape: ShapeLike) -> tuple[FieldSpec, ...]:
    """The declared fields, or one for each column. Raises ConfigurationError."""
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
    specs = field_specs(spec, shape)
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
