"""Parses keys and values typed by people to values of field types."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.error_text import error_message
from bridge.model.types import Entity, FieldType

_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


def parse_value(kind: FieldType, text: str) -> Any:
    """The Python value of `text` for a field of this type.

    Raises ValueError whose message can follow the field's name.
    """
    try:
        return _READ.get(kind.name, _json)(text)
    except Exception:  # noqa: BLE001 - whatever keeps it from being one
        raise ValueError(f"{text[:60]!r} is not of type {kind}") from None


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number) and "inf" not in text.lower():
        raise ValueError(text)
    return number


def _timestamp(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    return timestamp if timestamp.tzinfo else timestamp.astimezone()


def _local(text: str) -> datetime:
    timestamp = datetime.fromisoformat(text)
    if timestamp.tzinfo:
        raise ValueError(text)
    return timestamp


def _exact(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


def _json(text: str) -> Any:
    return json.loads(text)


_READ: Mapping[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": int,
    "float": _number,
    "double": _number,
    "decimal": _exact,
    "string": str,
    "json": str,
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": _timestamp,
    "local_timestamp": _local,
    "uuid": UUID,
}


def parse_pairs(texts: Sequence[str]) -> dict[str, str]:
    """`a=1`, `b=2` as a mapping. Raises ValueError for invalid or repeated pairs."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{text!r} is not of the form name=value")
        if name.strip() in values:
            raise ValueError(f"{name.strip()!r} is repeated")
        values[name.strip()] = value
    return values


def parse_key_parts(fields: Sequence[str], text: str) -> dict[str, Any]:
    """Parse a key to its fields, with values still as text (or JSON values).

    A key of one field is the text itself; others are `{"a": "1", "b": 2}` or `a=1,b=2`. Raises
    ValueError that names the key's fields.
    """
    form = ",".join(f"{name}=.." for name in fields)
    parts: dict[str, Any] | None = None
    if text.startswith("{"):
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"key {text[:60]!r} is not valid JSON: {error_message(error, 200)}"
            ) from None
    elif len(fields) > 1 or text.startswith(f"{fields[0]}="):
        try:
            parts = dict(parse_pairs(text.split(",")))
        except ValueError as error:
            raise ValueError(f"key {text!r}: {error}; write {form}") from None
    if parts is None:
        return {fields[0]: text}
    if set(parts) != set(fields):
        raise ValueError(f"key {text!r} does not name exactly {', '.join(fields)}; write {form}")
    return {name: parts[name] for name in fields}


def parse_key(entity: Entity, text: str) -> dict[str, Any]:
    """Parse a key to values of the key fields' types, in declared order.

    Raises ValueError that names the field.
    """
    key: dict[str, Any] = {}
    for name, value in parse_key_parts(entity.key, text).items():
        key[name] = field_value(entity, name, value)
    return key


def field_value(entity: Entity, name: str, value: Any) -> Any:
    """A value for the field `name`. Raises ValueError that names the field, or the existing
    ones.
    """
    try:
        kind = entity.field(name).type
    except KeyError:
        field_names = ", ".join(field.name for field in entity.fields)
        raise ValueError(
            f"{entity.qualified} has no field {name!r}; it has {field_names}"
        ) from None
    try:
        return parse_value(kind, value if isinstance(value, str) else json.dumps(value))
    except ValueError as error:
        raise ValueError(f"{entity.qualified}, field {name!r}: {error}") from None


def parse_condition(entity: Entity, texts: Sequence[str]) -> dict[str, Any]:
    """`status=open`, `total=5.00` as fields and the values that they must equal.

    Raises ValueError that names the field.
    """
    return {name: field_value(entity, name, value) for name, value in parse_pairs(texts).items()}
