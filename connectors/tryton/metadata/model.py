"""What a model's fields are to the bridge: types, and values from Tryton's form and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bridge.model.types import FieldType
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json

ID, CREATED, WRITTEN = "id", "create_date", "write_date"
VERSION = "_timestamp"
"""What Tryton calls the version of a row; not among its fields, and read by that name."""
MAX_DIGITS = 38
"""Digits of a number whose field says only those after the point."""

_TYPES: Mapping[str, FieldType] = {
    "boolean": FieldType("boolean"),
    "integer": FieldType("integer"),
    "biginteger": FieldType("integer"),
    "many2one": FieldType("integer"),
    "one2one": FieldType("integer"),
    "char": FieldType("string"),
    "text": FieldType("string"),
    "selection": FieldType("string"),
    "reference": FieldType("string"),
    "multiselection": FieldType("array", item=FieldType("string")),
    "float": FieldType("double"),
    "timedelta": FieldType("double"),
    "date": FieldType("date"),
    "time": FieldType("time"),
    "datetime": FieldType("timestamp"),
    "timestamp": FieldType("timestamp"),
    "dict": FieldType("json"),
    "binary": FieldType("bytes"),
}
LIST_TYPES = ("one2many", "many2many")


@dataclass(frozen=True, slots=True)
class ModelField:
    """A field of a model: `kind` is Tryton's type, `relation` the model that it leads to, `label`
    what people see. `computed`: made of other fields, maybe of other rows', when it is asked for.
    """

    name: str
    kind: str
    type: FieldType
    required: bool = False
    relation: str = ""
    choices: tuple[str, ...] = ()
    label: str = ""
    computed: bool = False

    @property
    def native(self) -> str:
        """For people."""
        if self.kind == "numeric" and self.type.name == "decimal":
            return f"numeric({self.type.precision},{self.type.scale})"
        return f"{self.kind} of {self.relation}" if self.relation else self.kind


@dataclass(frozen=True, slots=True)
class ModelList:
    """A one2many or many2many (`kind`) of rows of the model `relation`; `by` their field that leads
    back, of a one2many.
    """

    name: str
    kind: str
    relation: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class TrytonModel:
    """A model as `fields_get` tells. `left_out`: fields that the bridge can't use, and why;
    `lists`: those among them that are rows of another model.
    """

    name: str
    fields: Mapping[str, ModelField]
    left_out: Mapping[str, str]
    lists: Mapping[str, ModelList]


def model_of(name: str, told: Mapping[str, Mapping[str, Any]]) -> TrytonModel:
    """Read what `fields_get` answered."""
    fields: dict[str, ModelField] = {}
    left_out: dict[str, str] = {}
    lists: dict[str, ModelList] = {}
    for field, says in sorted(told.items(), key=lambda item: (item[0] != ID, item[0])):
        kind = str(says.get("type", ""))
        if kind in LIST_TYPES:
            left_out[field] = f"{kind} of {says.get('relation', '?')}: rows of their own model"
            by, to = str(says.get("relation_field") or ""), str(says.get("relation") or "")
            lists[field] = ModelList(field, kind, to, by if kind == "one2many" else "")
        elif not says.get("searchable", True) and kind != "binary":
            left_out[field] = "a function field that can't be searched: it is not in the table"
        elif (found := field_type(kind, says.get("digits"))) is None:
            left_out[field] = f"the bridge doesn't know the type {kind!r}"
        else:
            fields[field] = ModelField(
                field,
                kind,
                found,
                field == ID or bool(says.get("required")),
                str(says.get("relation") or ""),
                _choices(says.get("selection")),
                " ".join(str(says.get("string") or "").split()),
                _computed(kind, says),
            )
    fields[VERSION] = ModelField(VERSION, "char", FieldType("string"))
    return TrytonModel(name, fields, left_out, lists)


def _computed(kind: str, says: Mapping[str, Any]) -> bool:
    """Tryton doesn't tell: function fields are loaded late, and those that nobody can set are read
    only; files are loaded late as well, and translated texts.
    """
    return kind != "binary" and says.get("loading") == "lazy" and bool(says.get("readonly"))


def field_type(kind: str, digits: Any = None) -> FieldType | None:
    """The sensible type; numbers whose digits depend on something else are their exact text."""
    if kind != "numeric":
        return _TYPES.get(kind)
    try:
        digits = parse_json(digits) if isinstance(digits, str) else digits
    except UnreadableAnswer:
        digits = None
    match digits:
        case [int(before), int(after)] if min(before, after) >= 0 < before + after <= MAX_DIGITS:
            return FieldType("decimal", before + after, after)
        case [None, int(scale)] if 0 <= scale <= MAX_DIGITS:
            return FieldType("decimal", MAX_DIGITS, scale)
    return FieldType("string")


def _choices(selection: Any) -> tuple[str, ...]:
    """The values of a selection; none where a method of the model tells them."""
    if not isinstance(selection, list):
        return ()
    pairs = [one for one in selection if isinstance(one, list) and one]
    return tuple(str(one[0]) for one in pairs if one[0] is not None)


# -- values --------------------------------------------------------------------------------


def _instant(value: Any) -> Any:
    # Tryton keeps every moment in UTC, without saying so.
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _text_of_number(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _json(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    plain = {name: str(one) if isinstance(one, Decimal) else one for name, one in value.items()}
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, default=str)


def decoder_of(field: ModelField) -> Callable[[Any], Any] | None:
    """Turns a value that was read into the row's; None where it is one already."""
    if field.kind in {"datetime", "timestamp"}:
        return _instant
    if field.kind == "timedelta":
        return _seconds
    if field.kind == "numeric" and field.type.name == "string":
        return _text_of_number
    return _json if field.kind == "dict" else None


def to_tryton(field: ModelField, value: Any) -> Any:
    """A row's value as Tryton wants it, in conditions and when it is written."""
    if value is None:
        return None
    if field.kind == "timedelta":
        return timedelta(seconds=float(value))
    if field.kind == "numeric":
        return Decimal(str(value))
    if field.kind == "float":
        return float(value)
    if field.kind == "dict" and isinstance(value, str):
        return json.loads(value)
    if field.kind in {"many2one", "one2one", "integer", "biginteger"} and isinstance(value, str):
        return int(value)
    return value
