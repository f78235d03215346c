"""Field types: what a field of an entity can hold, in the bridge and in Avro.

| type | Python value | Avro |
|---|---|---|
| `boolean` | bool | boolean |
| `integer` | int, 64 bit signed | long |
| `float` | float (32 bit) | float |
| `double` | float (64 bit) | double |
| `decimal(p,s)` | decimal.Decimal, exactly s digits after the point | bytes, decimal |
| `string` | str | string |
| `bytes` | bytes | bytes |
| `date` | datetime.date | int, date |
| `time` | datetime.time without zone, microseconds | long, time-micros |
| `timestamp` | aware datetime in UTC, microseconds | long, timestamp-micros |
| `local_timestamp` | naive datetime, microseconds | long, local-timestamp-micros |
| `uuid` | uuid.UUID | string, uuid |
| `json` | the source's JSON text (str) | string, logicalType `json` |
| `array(T)` | list, elements may be None | array of [null, T] |

A number without declared precision is its exact text (`string`). All fields except the key are
nullable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge.model.errors import ConfigurationError

SIMPLE: Final = frozenset(
    {
        "boolean",
        "integer",
        "float",
        "double",
        "string",
        "bytes",
        "date",
        "time",
        "timestamp",
        "local_timestamp",
        "uuid",
        "json",
    }
)
#: Types a key field may have; the key's Avro form is `long` for integers, `string` for the rest
#: (decimals as plain text with their scale, dates and instants as ISO 8601).
KEY_TYPES: Final = frozenset(
    {"boolean", "integer", "decimal", "string", "uuid", "date", "timestamp", "local_timestamp"}
)
MAX_PRECISION: Final = 1000

_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_ARRAY = re.compile(r"array\((.+)\)")


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field type; `precision` and `scale` for decimals only, `item` for arrays only."""

    name: str
    precision: int = 0
    scale: int = 0
    item: FieldType | None = None

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name == "array":
            return f"array({self.item})"
        return self.name


def parse_type(text: str) -> FieldType:
    """`decimal(15,2)`, `array(string)`, `integer` ... as a FieldType.

    Raises ConfigurationError that lists the known types.
    """
    name = text.strip()
    if name in SIMPLE:
        return FieldType(name)
    if match := _DECIMAL.fullmatch(name):
        precision, scale = int(match[1]), int(match[2] or 0)
        if not (1 <= precision <= MAX_PRECISION and scale <= precision):
            message = (
                f"type {text!r}: precision is 1 to {MAX_PRECISION}, scale at most the precision"
            )
            raise ConfigurationError(message)
        return FieldType("decimal", precision, scale)
    if match := _ARRAY.fullmatch(name):
        return FieldType("array", item=parse_type(match[1]))
    type_names = ", ".join(sorted(SIMPLE))
    message = f"type {text!r} is not known: use {type_names}, decimal(P,S) or array(TYPE)"
    raise ConfigurationError(message)


def holds(wide: FieldType, narrow: FieldType) -> bool:
    """Whether a field of type `wide` holds every value of `narrow`, of the same kind, exactly."""
    if wide.name == narrow.name == "decimal":
        whole = wide.precision - wide.scale >= narrow.precision - narrow.scale
        return whole and wide.scale >= narrow.scale
    if wide.item is not None and narrow.item is not None:
        return holds(wide.item, narrow.item)
    return wide == narrow or (wide.name, narrow.name) == ("double", "float")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an entity, as stored in the log."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Relation:
    """How rows of one entity lead to rows of another of the same system.

    To many (`by`): rows of `entity` whose field `by` holds this row's key.
    To one (`from_field`): the row of `entity` whose key is this row's `from_field`.
    Both may be several fields, aligned with that key's. `on`: the fields with which they are aligned
    instead: of this row for `by`, all key fields of the other entity for `from_field`.
    """

    name: str
    entity: str
    by: str | tuple[str, ...] = ""
    from_field: str | tuple[str, ...] = ""
    on: tuple[str, ...] = ()

    @property
    def by_fields(self) -> tuple[str, ...]:
        """`by` as fields; empty for a relation to one."""
        return _fields(self.by)

    @property
    def from_fields(self) -> tuple[str, ...]:
        """`from_field` as fields; empty for a relation to many."""
        return _fields(self.from_field)

    def ends(
        self, key: tuple[str, ...], other_key: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The fields of this row, and aligned with them the fields of the other entity whose values
        are equal; in the order of the other entity's key for a relation to one.

        key, other_key: the key fields of this entity and of the other. Raises ConfigurationError if
        they don't fit.
        """
        if self.from_field:
            starts, targets = self.from_fields, self.on or other_key
            if len(starts) != len(targets) or sorted(targets) != sorted(other_key):
                raise ConfigurationError(
                    f"relation {self.name!r} is `from` {_count(starts)}, but the key of "
                    f"{self.entity!r} has the fields {', '.join(other_key)}"
                )
            start_of = dict(zip(targets, starts, strict=True))
            return tuple(start_of[name] for name in other_key), other_key
        starts, targets = self.on or key, self.by_fields
        if len(starts) != len(targets):
            raise ConfigurationError(
                f"relation {self.name!r} is `by` {_count(targets)}, but "
                f"the key has the fields {', '.join(key)}"
            )
        return starts, targets


def _fields(names: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(names, str):
        return (names,) if names else ()
    return names


def _count(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) > 1 else "one field"


@dataclass(frozen=True, slots=True)
class Entity:
    """A business object of a system: its key and its fields, key fields among them.

    `fields` are in declared order; `key` in declared key order; `version` names the field that the
    legacy system itself increases with every change, if there is one.
    """

    system: str
    name: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    relations: tuple[Relation, ...] = ()
    version: str = ""

    @property
    def qualified(self) -> str:
        """`system.entity`."""
        return f"{self.system}.{self.name}"

    def field(self, name: str) -> Field:
        """The field of that name; raises KeyError."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)
