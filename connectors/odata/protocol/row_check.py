"""Compares rows of a service with the requested keys and values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.connector.answer_check import AskedKeys, first_foreign, may_equal
from bridge.model.errors import Rejected
from connectors.odata.metadata.model import EntitySet, Property, Version
from connectors.odata.protocol.entity_table import value_at
from connectors.odata.protocol.literal import payload
from connectors.odata.protocol.property_values import row_value

JsonRow = Mapping[str, Any]


def row_values(
    entity_set: EntitySet, version: Version, columns: Sequence[str], row: JsonRow
) -> Any:
    """The values of these properties of a row's JSON; MISSING if it doesn't have one."""
    properties = [entity_set.properties[name] for name in columns]
    return tuple(row_value(p, version, value_at(row, p.path)) for p in properties)


def as_row_value(p: Property, version: Version, wanted: Any) -> Any:
    """A value in the form in which rows hold it."""
    try:
        return row_value(p, version, payload(p, version, wanted))
    except Rejected:
        return wanted


def asked_keys(
    entity_set: EntitySet, version: Version, columns: Sequence[str], keys: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """Keys in the form in which rows hold them."""
    properties = [entity_set.properties[name] for name in columns]
    return [
        tuple(as_row_value(p, version, part) for p, part in zip(properties, key, strict=True))
        for key in keys
    ]


def has_foreign(
    entity_set: EntitySet,
    version: Version,
    columns: Sequence[str],
    keys: Sequence[Sequence[Any]],
    rows: Sequence[JsonRow],
) -> bool:
    """Whether a row fits none of the requested keys."""
    values = [row_values(entity_set, version, columns, row) for row in rows]
    return first_foreign(values, asked_keys(entity_set, version, columns, keys)) is not None


def is_row_of(
    entity_set: EntitySet, version: Version, key: Mapping[str, Any], row: JsonRow
) -> bool:
    """Whether this row may be the one with that key."""
    [wanted] = asked_keys(
        entity_set, version, entity_set.key, [[key[name] for name in entity_set.key]]
    )
    return AskedKeys([wanted]).accepts(row_values(entity_set, version, entity_set.key, row))


def holds_fields(
    entity_set: EntitySet, version: Version, fields: Mapping[str, Any], row: JsonRow
) -> bool:
    """Whether a row may have these values, as the service compares them."""
    wanted_fields = {
        name: wanted for name, wanted in fields.items() if name in entity_set.properties
    }
    values = row_values(entity_set, version, list(wanted_fields), row)
    return all(
        may_equal(own, as_row_value(entity_set.properties[name], version, wanted))
        for own, (name, wanted) in zip(values, wanted_fields.items(), strict=True)
    )
