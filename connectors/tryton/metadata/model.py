"""A model and its fields, as `fields_get` describes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.model.types import FieldType
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json

ID: Final = "id"
CREATED: Final = "create_date"
WRITTEN: Final = "write_date"
VERSION: Final = "_timestamp"
"""Tryton's name of a row's version; not among its fields, but readable by that name."""
MAX_DIGITS: Final = 38
"""Digits of a number whose field only declares those after the point."""

_FIELD_TYPES: Mapping[str, FieldType] = {
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
LIST_TYPES: Final = ("one2many", "many2many")


@dataclass(frozen=True, slots=True)
class ModelField:
    """A field of a model.

    - `tryton_type`: its type in Tryton (`many2one`, `numeric`); `type`: the bridge's.
    - `relation`: the model that it leads to; empty for others.
    - `choices`: the values of a selection.
    - `label`: what people see.
    - `computed`: computed from other fields, maybe of other rows, when it is read.
    """

    name: str
    tryton_type: str
    type: FieldType
    required: bool = False
    relation: str = ""
    choices: tuple[str, ...] = ()
    label: str = ""
    computed: bool = False

    @property
    def native(self) -> str:
        """The type in Tryton, for people."""
        if self.tryton_type == "numeric" and self.type.name == "decimal":
            return f"numeric({self.type.precision},{self.type.scale})"
        return f"{self.tryton_type} of {self.relation}" if self.relation else self.tryton_type


@dataclass(frozen=True, slots=True)
class ModelList:
    """A one2many or many2many (`tryton_type`) of rows of the model `relation`; `back_field` is their field
    that leads back, of a one2many.
    """

    name: str
    tryton_type: str
    relation: str
    back_field: str = ""


@dataclass(frozen=True, slots=True)
class TrytonModel:
    """A model.

    - `left_out`: fields that the bridge can't use, and why.
    - `lists`: those among them that are rows of another model.
    """

    name: str
    fields: Mapping[str, ModelField]
    left_out: Mapping[str, str]
    lists: Mapping[str, ModelList]


def model_of(name: str, descriptions: Mapping[str, Mapping[str, Any]]) -> TrytonModel:
    """The model of which `fields_get` gave these descriptions, by field."""
    fields: dict[str, ModelField] = {}
    left_out: dict[str, str] = {}
    lists: dict[str, ModelList] = {}
    for field, description in sorted(
        descriptions.items(), key=lambda item: (item[0] != ID, item[0])
    ):
        tryton_type = str(description.get("type", ""))
        relation = str(description.get("relation") or "")
        if tryton_type in LIST_TYPES:
            left_out[field] = (
                f"{tryton_type} of {description.get('relation', '?')}: rows of their own model"
            )
            back_field = str(description.get("relation_field") or "")
            is_one2many = tryton_type == "one2many"
            lists[field] = ModelList(
                field, tryton_type, relation, back_field if is_one2many else ""
            )
        elif not description.get("searchable", True) and tryton_type != "binary":
            left_out[field] = "a function field that can't be searched: it is not in the table"
        elif (type_ := field_type(tryton_type, description.get("digits"))) is None:
            left_out[field] = f"the bridge doesn't know the type {tryton_type!r}"
        else:
            fields[field] = ModelField(
                field,
                tryton_type,
                type_,
                field == ID or bool(description.get("required")),
                relation,
                _choices(description.get("selection")),
                " ".join(str(description.get("string") or "").split()),
                _is_computed(tryton_type, description),
            )
    fields[VERSION] = ModelField(VERSION, "char", FieldType("string"))
    return TrytonModel(name, fields, left_out, lists)


def _is_computed(tryton_type: str, description: Mapping[str, Any]) -> bool:
    """Tryton doesn't say so: function fields are loaded late, and those that nobody can set are read
    only; files are loaded late as well, and translated texts.
    """
    is_lazy = description.get("loading") == "lazy"
    return tryton_type != "binary" and is_lazy and bool(description.get("readonly"))


def field_type(tryton_type: str, digits: Any = None) -> FieldType | None:
    """The sensible type; numbers whose digits depend on something else are their exact text."""
    if tryton_type != "numeric":
        return _FIELD_TYPES.get(tryton_type)
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
    """The values of a selection; none where a method of the model returns them."""
    if not isinstance(selection, list):
        return ()
    pairs = [pair for pair in selection if isinstance(pair, list) and pair]
    return tuple(str(value) for value, *_ in pairs if value is not None)
