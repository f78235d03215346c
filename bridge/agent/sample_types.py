"""Entity types inferred from the rows of a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.names import split_entity
from bridge.model.types import Entity, Field, FieldType, Relation

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (time, "time"),
    (UUID, "uuid"),
)
_TEXT = FieldType("string")


class PlainRow:
    """A row backed by a dict: fields by attribute and by name."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            names = ", ".join(self._values)
            raise AttributeError(f"the row has no field {name!r}; it has {names}") from None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def keys(self) -> Any:
        """Names of all fields."""
        return self._values.keys()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlainRow) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"


def type_of_value(value: Any) -> FieldType:
    """The field type that holds `value`; text for None and empty lists."""
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        scale = max(0, -exponent) if isinstance(exponent, int) else 0
        return FieldType("decimal", max(38, scale), scale)
    if isinstance(value, datetime):
        return FieldType("timestamp" if value.tzinfo else "local_timestamp")
    if isinstance(value, date):
        return FieldType("date")
    if isinstance(value, (list, tuple)):
        return FieldType(
            "array", item=type_of_value(next((v for v in value if v is not None), None))
        )
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return FieldType(name)
    return _TEXT


def entity_of_rows(
    qualified: str,
    rows: Sequence[Mapping[str, Any]],
    key: Sequence[str] = (),
    relations: Sequence[Relation] = (),
) -> Entity:
    """The entity type inferred from `rows`: all their fields, in the order of appearance.

    Its key is `key`, or else the first field. Raises ValueError if a key field is missing.
    """
    system, name = split_entity(qualified)
    fields: dict[str, FieldType] = {}
    for row in rows:
        for field, value in row.items():
            if field not in fields or (fields[field] is _TEXT and value is not None):
                fields[field] = type_of_value(value)
    keys = tuple(key) or tuple(fields)[:1]
    missing = [field for field in keys if field not in fields]
    if missing or not keys:
        raise ValueError(f"{qualified}: no row has the key field {', '.join(missing) or '(none)'}")
    return Entity(
        system, name, keys, tuple(Field(*pair) for pair in fields.items()), tuple(relations)
    )
