"""The type that a field has when none is declared: the catalogue's, as the transforms leave it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.model.errors import ConfigurationError
from bridge.model.specs import FieldSpec
from bridge.model.types import MAX_PRECISION, FieldType

STRING = FieldType("string")

#: Directives of `format` of a day, and of a time of day.
DAY = "YymdbBjUWVGuaAxc"
CLOCK = "HIMSfpXcs"


def after_transforms(field: FieldSpec, columns: Sequence[FieldType], entity: str) -> FieldType:
    """What `field` becomes. Raises ConfigurationError if that has to be declared."""
    kind = columns[0] if columns else STRING
    if field.call:
        raise ConfigurationError(
            f"{entity}, field {field.name!r}: say its `type`, because only the function that "
            "`call` names knows what it returns"
        )
    if field.code_page:
        kind = STRING
    if field.format:
        kind = format_type(field.format, field.zone)
    elif field.zone:
        kind = FieldType("timestamp")
    if field.map is not None:
        kind = _map_type(field, entity)
    if field.zeros:
        kind = STRING
    if field.unit:
        kind = _unit_type(field, kind, entity)
    if field.mask == "hash":
        kind = STRING
    return kind


def directives(text: str) -> str:
    """The directive letters of a strftime format, in order: `%Y-%m` gives `Ym`."""
    letters, at = "", text.find("%")
    while 0 <= at < len(text) - 1:
        letters += text[at + 1]
        at = text.find("%", at + 2)
    return letters


def format_type(text: str, zone: str) -> FieldType:
    """Date, time, local time, or instant (with a zone or an offset), by the directives of the format."""
    used = directives(text)
    day = any(letter in DAY for letter in used)
    clock = any(letter in CLOCK for letter in used)
    if zone or "z" in used:
        return FieldType("timestamp")
    if day and clock:
        return FieldType("local_timestamp")
    return FieldType("date" if day else "time")


def _map_type(field: FieldSpec, entity: str) -> FieldType:
    assert field.map is not None, "asked only for fields with a map"  # noqa: S101
    values: list[Any] = [value for value in field.map.values() if value is not None]
    for name, types in (("boolean", bool), ("integer", int), ("string", str)):
        if values and all(type(value) is types for value in values):
            return FieldType(name)
    raise ConfigurationError(
        f"{entity}, field {field.name!r}: the values of its `map` are of several types; say its `type`"
    )


def unit_factor(text: str) -> tuple[tuple[int, ...], int]:
    """Digits and exponent of a `unit`. Raises ConfigurationError."""
    try:
        factor = Decimal(text)
        _, digits, exponent = factor.as_tuple()
    except InvalidOperation:
        exponent = "n"
    if not isinstance(exponent, int) or factor <= 0:
        raise ConfigurationError(
            f'`unit` {text!r} is not an exact decimal factor; write one like "0.01"'
        )
    return digits, exponent


def _unit_type(field: FieldSpec, field_type: FieldType, entity: str) -> FieldType:
    field_text = f"{entity}, field {field.name!r}"
    try:
        digits, exponent = unit_factor(field.unit)
    except ConfigurationError as error:
        raise ConfigurationError(f"{field_text}: {error}") from None
    scale, whole = max(-exponent, 0), max(len(digits) + exponent, 0)
    if field_type.name == "integer":
        return FieldType("decimal", 19 + whole + scale, scale)
    if field_type.name == "decimal":
        precision = field_type.precision + whole + scale
        if precision <= MAX_PRECISION:
            return FieldType("decimal", precision, field_type.scale + scale)
    if field_type.name == "string":
        return field_type
    raise ConfigurationError(
        f"{field_text}: `unit` needs a decimal or an integer, not {field_type}; say its `type`"
    )
