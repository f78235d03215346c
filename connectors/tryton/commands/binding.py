"""Statements with values bound: which model, which rows, and what is written, in Tryton's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final

from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.suggestions import did_you_mean
from connectors.erp.statement_parser import Parameter
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json
from connectors.tryton.commands.statement import (
    ListLiteral,
    Pairs,
    RowLiteral,
    TrytonStatement,
    Value,
)
from connectors.tryton.metadata.field_values import to_tryton
from connectors.tryton.metadata.model import ID, VERSION, ModelField, ModelList, TrytonModel

FindModel = Callable[[str], Awaitable[TrytonModel]]
"""A model by its name. Raises ConfigurationError for an unknown one."""

READ_ONLY_FIELDS: Final = frozenset(
    {VERSION, "create_date", "create_uid", "write_date", "write_uid", "rec_name"}
)
"""Tryton fills them in itself."""

_TEMPORAL: Mapping[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "datetime": datetime.fromisoformat,
    "timestamp": datetime.fromisoformat,
}
_TEXTS: Final = ("char", "text", "fulltext", "selection", "reference")
_NUMBERS: Final = (
    *("integer", "biginteger", "many2one", "one2one", "float", "numeric", "timedelta"),
)


@dataclass(frozen=True, slots=True)
class BoundStatement:
    """A statement that can be executed.

    - `key`: the fields that name the row; None if it creates one, or finds rows only by `values`.
    - `values`: of CREATE and WRITE as they are sent; of FIND what the row must hold, a list for any of.
    """

    statement: TrytonStatement
    model: TrytonModel
    key: Mapping[str, Any] | None
    values: Mapping[str, Any]

    @property
    def where(self) -> list[Any]:
        """The domain of the statement's rows."""
        return [*_domain(self.key or {}), *(_domain(self.values) if self.finds else [])]

    @property
    def finds(self) -> bool:
        """Whether it only reads."""
        return self.statement.verb == "FIND"

    @property
    def row(self) -> str:
        """The row for people: `sale.sale(7)`."""
        parts = [
            str(value) if name == ID else f"{name}={value}"
            for name, value in (self.key or {}).items()
        ]
        return f"{self.statement.model}({', '.join(parts)})"


def _domain(values: Mapping[str, Any]) -> list[Any]:
    """Rows with these values; any of a list."""
    return [
        [name, "in" if isinstance(value, list) else "=", value] for name, value in values.items()
    ]


async def bind(
    statement: TrytonStatement, find_model: FindModel, arguments: Mapping[str, Any]
) -> BoundStatement:
    """Raises ConfigurationError for what the model doesn't have, Rejected (`bad_value`)."""
    model = await find_model(statement.model)
    key = None
    if statement.key is not None:
        named = [(name or ID, _filled_in(value, arguments)) for name, value in statement.key]
        key = {name: payload(field_of(model, name), value) for name, value in named}
    if statement.verb == "FIND":
        values = {
            name: _wanted(field_of(model, name), value, arguments)
            for name, value in statement.fields
        }
    else:
        pairs = _filled_in_pairs(statement.fields, arguments)
        values = await _values(model, find_model, pairs, new=statement.verb == "CREATE")
    return BoundStatement(statement, model, key, values)


def _wanted(field: ModelField, value: Value, arguments: Mapping[str, Any]) -> Any:
    if isinstance(value, ListLiteral):
        return [payload(field, _filled_in(item, arguments)) for item in value.items]
    return payload(field, _filled_in(value, arguments))


# -- what is written -----------------------------------------------------------------------


async def _values(
    model: TrytonModel, find_model: FindModel, pairs: Iterable[tuple[str, Any]], *, new: bool
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in model.lists:
            items = _list_items(model, name, value)
            values[name] = await _list_actions(model, model.lists[name], find_model, items, new=new)
        else:
            values[name] = payload(writable_field(model, name), value)
    return values


async def _list_actions(
    model: TrytonModel,
    list_field: ModelList,
    find_model: FindModel,
    items: Sequence[Any],
    *,
    new: bool,
) -> list[Any]:
    """The actions of a one2many or many2many."""
    name = list_field.name
    if list_field.tryton_type == "many2many":
        # Tryton links a repeated id twice.
        return [["add", list(dict.fromkeys(_row_id(model, name, item) for item in items))]]
    created, actions = [], list[Any]()
    item_model = await find_model(list_field.relation)
    for item in items:
        if not isinstance(item, Mapping):
            raise _bad_value(model, name, f"{item!r:.60} is no row: write (field=value, ...)")
        pairs = [(field, value) for field, value in item.items() if field != ID]
        if ID not in item:
            created.append(await _values(item_model, find_model, pairs, new=True))
        elif new:
            raise _bad_value(model, name, "its rows are new, so they have no id yet")
        else:
            values = await _values(item_model, find_model, pairs, new=False)
            actions.append(["write", [_row_id(model, name, item[ID])], values])
    return [*actions, *([["create", created]] if created else [])]


def _list_items(model: TrytonModel, name: str, value: Any) -> Sequence[Any]:
    """The items of a list: as they are in the statement, or in JSON."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except UnreadableAnswer as error:
            raise _bad_value(model, name, f"this is no JSON: {error}") from None
    if not isinstance(value, list):
        raise _bad_value(model, name, "expected a list, such as [(product=:product, quantity=1)]")
    return value


def _row_id(model: TrytonModel, name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError(value)  # noqa: TRY301, TRY004 - reported as any other value that is no id
        return int(value)
    except (TypeError, ValueError):
        raise _bad_value(model, name, f"{value!r:.60} is no row's id") from None


def _filled_in_pairs(pairs: Pairs, arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, _filled_in(value, arguments)) for name, value in pairs]


def _filled_in(value: Value | RowLiteral, arguments: Mapping[str, Any]) -> Any:
    """The value with its parameters filled in."""
    if isinstance(value, Parameter):
        return value.value_in(arguments)
    if isinstance(value, RowLiteral):
        return dict(_filled_in_pairs(value.pairs, arguments))
    if isinstance(value, ListLiteral):
        return [_filled_in(item, arguments) for item in value.items]
    return value


# -- one value -----------------------------------------------------------------------------


def payload(field: ModelField, value: Any) -> Any:
    """A value in Tryton's form. Raises Rejected (`bad_value`) if it doesn't fit."""
    try:
        return _converted(field, value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise Rejected(
            "bad_value",
            f"field {field.name!r} ({field.native}): {value!r:.60} doesn't fit: {error}",
        ) from None


def _converted(field: ModelField, value: Any) -> Any:
    if value is None:
        return None
    tryton_type = field.tryton_type
    if (tryton_type == "boolean") != isinstance(value, bool):
        raise ValueError(
            "expected true or false"
            if tryton_type == "boolean"
            else "true and false aren't allowed"
        )
    if isinstance(value, str) and tryton_type in _TEMPORAL:
        return _TEMPORAL[tryton_type](value)
    if tryton_type in _TEXTS:
        return _checked_choice(field, value if isinstance(value, str) else str(value))
    if tryton_type in _NUMBERS and isinstance(value, (list, dict)):
        raise ValueError("expected one number")
    return to_tryton(field, value)


def _checked_choice(field: ModelField, text: str) -> str:
    """A text that is one of the field's choices; a reference chooses among models."""
    is_reference = field.tryton_type == "reference"
    choice, comma, number = text.partition(",") if is_reference else (text, "", "")
    if field.choices and choice not in field.choices:
        raise ValueError(f"expected one of {', '.join(field.choices)}")
    if is_reference and not (comma and number.isdigit()):
        raise ValueError("expected MODEL,ID")
    return text


def writable_field(model: TrytonModel, name: str) -> ModelField:
    """A field that may be written. Raises ConfigurationError."""
    if name in READ_ONLY_FIELDS or name == ID:
        raise ConfigurationError(f"model {model.name!r}: Tryton fills in {name!r} itself")
    return field_of(model, name)


def field_of(model: TrytonModel, name: str) -> ModelField:
    """A field of the model. Raises ConfigurationError."""
    field = model.fields.get(name)
    if field is None:
        raise ConfigurationError(unknown_field(model, name))
    return field


def unknown_field(model: TrytonModel, name: str) -> str:
    """The message for an unknown field, with similar names."""
    if name in model.left_out:
        return f"model {model.name!r}, field {name!r} can't be used here: {model.left_out[name]}"
    hint = did_you_mean(name, [*model.fields, *model.lists])
    return f"model {model.name!r} has no field {name!r}{hint}"


def _bad_value(model: TrytonModel, name: str, reason: str) -> Rejected:
    return Rejected("bad_value", f"model {model.name!r}, field {name!r}: {reason}")
