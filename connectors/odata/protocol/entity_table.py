"""An entity set as a table of the port: its shape, and rows of it made of JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.connector import Column, Shape, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.suggestions import did_you_mean
from bridge.plan.steps import MISSING, Wire
from connectors.odata.metadata.field_types import field_type
from connectors.odata.metadata.model import EntitySet, ODataService, Property, Version
from connectors.odata.protocol.literal import is_value_of, literal
from connectors.odata.protocol.property_values import row_value

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class EntitySetTable:
    """An entity set with the properties that are used; `places` are those of the key."""

    set: EntitySet
    version: Version
    properties: tuple[Property, ...]
    shape: Shape
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        """The entity set's name."""
        return self.set.name

    @property
    def select(self) -> str:
        """`$select` of what is used; complex properties whole."""
        return ",".join(dict.fromkeys(p.path[0] for p in self.properties))

    @property
    def key(self) -> tuple[Property, ...]:
        """The key's properties in order."""
        return tuple(self.properties[index] for index in self.places)

    def row(self, json: Mapping[str, Any]) -> Row:
        """The raw row of a JSON object; what isn't in it is MISSING."""
        return tuple(row_value(p, self.version, value_at(json, p.path)) for p in self.properties)

    def only_key(self, key: Sequence[Any]) -> Row:
        """A raw row in which nothing but the key is set."""
        row = [MISSING] * len(self.properties)
        for index, part in zip(self.places, key, strict=True):
            row[index] = part
        return tuple(row)

    def key_of(self, row: Row) -> Row:
        """The key of a raw row."""
        return tuple(row[index] for index in self.places)

    def has_key(self, row: Row) -> bool:
        """Whether a raw row has its whole key, in values of the key's types: any other key can neither be
        read nor paged past, and would block paging without end once remembered.
        """
        return self.is_key(self.key_of(row))

    def is_key(self, key: Row) -> bool:
        """The same of a key."""
        return len(key) == len(self.places) and all(map(is_value_of, self.key, key))

    def predicate(self, key: Sequence[Any]) -> str:
        """`('1')` or `(order='1',position=2)`, not percent-encoded. Raises Rejected."""
        parts = [literal(p, self.version, part) for p, part in zip(self.key, key, strict=True)]
        if len(parts) == 1:
            return f"({parts[0]})"
        named = (f"{p.name}={part}" for p, part in zip(self.key, parts, strict=True))
        return f"({','.join(named)})"


def value_at(json: Any, path: Sequence[str]) -> Any:
    """The value at a path; None within a complex value that is null."""
    for step in path:
        if json is None:
            return None
        if not isinstance(json, Mapping) or step not in json:
            return MISSING
        json = json[step]
    return json


def columns_of(entity_set: EntitySet, version: Version) -> tuple[Column, ...]:
    """Every property as the catalogue's column."""
    columns = []
    for p in entity_set.properties.values():
        kind = field_type(p, version)
        if kind is not None:
            native = p.enum or p.edm + (f"({p.max_length})" if p.max_length else "")
            columns.append(
                Column(p.name, native, kind, "python", p.nullable, p.name in entity_set.key)
            )
    return tuple(columns)


def build_table(service: ODataService, use: TableUse, *more: str | None) -> EntitySetTable:
    """The table that a configuration means: the columns that it uses, the key, and `more` columns.

    Raises ConfigurationError if the service doesn't have something of it.
    """
    entity_set = entity_set_of(service, use.table)
    if use.key and sorted(use.key) != sorted(entity_set.key):
        raise ConfigurationError(
            f"entity set {entity_set.name!r}: its key is {', '.join(entity_set.key)}, not {', '.join(use.key)}"
        )
    used = (
        {*entity_set.key, *use.columns, *filter(None, more)}
        if use.columns
        else {*entity_set.properties}
    )
    problems = [
        _unknown(service, entity_set, name)
        for name in use.columns
        if name not in entity_set.properties
    ]
    if problems:
        raise ConfigurationError("; ".join(problems))
    columns = tuple(c for c in columns_of(entity_set, service.version) if c.name in used)
    names = [column.name for column in columns]
    return EntitySetTable(
        entity_set,
        service.version,
        tuple(entity_set.properties[name] for name in names),
        Shape(entity_set.name, columns, Wire.PYTHON),
        tuple(names.index(name) for name in entity_set.key),
    )


def entity_set_of(service: ODataService, name: str) -> EntitySet:
    """The entity set of that name; raises ConfigurationError that says why there is none."""
    if name in service.sets:
        return service.sets[name]
    if name in service.left_out:
        raise ConfigurationError(f"entity set {name!r} can't be used: {service.left_out[name]}")
    hint = did_you_mean(name, service.sets)
    raise ConfigurationError(f"entity set {name!r} is not in the service's metadata{hint}")


def _unknown(service: ODataService, entity_set: EntitySet, name: str) -> str:
    why = service.left_out.get(f"{entity_set.name}/{name}")
    if why:
        return f"entity set {entity_set.name!r}: property {name!r} can't be used: {why}"
    return f"entity set {entity_set.name!r} has no property {name!r}{did_you_mean(name, entity_set.properties)}"


def complete_row(table: EntitySetTable, row: Mapping[str, Any]) -> Row:
    """The raw row of a read; a requested property that is missing is null, as some services write it.
    Raises RetryLater for a row without its key, after which no page could begin.
    """
    values = tuple(None if value is MISSING else value for value in table.row(row))
    if not table.has_key(values):
        names = ", ".join(p.name for p in table.key)
        raise RetryLater(
            f"entity set {table.name!r}: a row came without its key, or with one of another type ({names})"
        )
    return values
