"""Statements with values bound: which model, which rows, and what is written, in Tryton's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

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
from connectors.tryton.metadata.model import (
    ID,
    VERSION,
    ModelField,
    ModelList,
    TrytonModel,
    to_tryton,
)

FindModel = Callable[[str], Awaitable[TrytonModel]]
"""A model by its name. Raises ConfigurationError for an unknown one."""

READ_ONLY_FIELDS = frozenset(
    {VERSION, "create_date", "create_uid", "write_date", "write_uid", "rec_name"}
)
"""Fields that Tryton fills in itself."""

_TEMPORAL: Mapping[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "datetime": datetime.fromisoformat,
    "timestamp": datetime.fromisoformat,
}
_TEXTS = ("char", "text", "fulltext", "selection", "reference")
_NUMBERS = ("integer", "biginteger", "many2one", "one2one", "float", "numeric", "timedelta")


@dataclass(frozen=True, slots=True)
class BoundStatement:
    """`key`: fields that name the row; `values`: of CREATE and WRITE as they are sent, of FIND what
    the row must hold, a list for any of.
    """

    statement: TrytonStatement
    model: TrytonModel
    key: Mapping[str, Any] | None
    values: Mapping[str, Any]

    @property
    def where(self) -> list[Any]:
        """The domain of what the statement is about."""
        return [*domain(self.key or {}), *(domain(self.values) if self.finds else [])]

    @property
    def finds(self) -> bool:
        """Whether it only asks."""
        return self.statement.verb == "FIND"

    @property
    def row(self) -> str:
        """The row for people: `sale.sale(7)`."""
        parts = [str(v) if n == ID else f"{n}={v}" for n, v in (self.key or {}).items()]
        return f"{self.statement.model}({', '.join(parts)})"


def domain(values: Mapping[str, Any]) -> list[Any]:
    """Rows that hold these; any of a list."""
    return [[name, "in" if isinstance(v, list) else "=", v] for name, v in values.items()]


async def bind(
    statement: TrytonStatement, models: FindModel, given: Mapping[str, Any]
) -> BoundStatement:
    """Raises ConfigurationError for what the model doesn't have, Rejected (`bad_value`)."""
    model = await models(statement.model)
    key = None
    if statement.key is not None:
        named = [(name or ID, _given(value, given)) for name, value in statement.key]
        key = {name: payload(field_of(model, name), value) for name, value in named}
    if statement.verb == "FIND":
        values = {name: _any(field_of(model, name), v, given) for name, v in statement.fields}
    else:
        pairs = _unbound(statement.fields, given)
        values = await _values(model, models, pairs, new=statement.verb == "CREATE")
    return BoundStatement(statement, model, key, values)


def _any(field: ModelField, value: Value, given: Mapping[str, Any]) -> Any:
    if isinstance(value, ListLiteral):
        return [payload(field, _given(one, given)) for one in value.items]
    return payload(field, _given(value, given))


# -- what is written -----------------------------------------------------------------------


async def _values(
    model: TrytonModel, models: FindModel, pairs: Iterable[tuple[str, Any]], *, new: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in model.lists:
            of = model.lists[name]
            found[name] = await _list(model, of, models, _rows(model, name, value), new=new)
        else:
            found[name] = payload(writable(model, name), value)
    return found


async def _list(
    model: TrytonModel, of: ModelList, models: FindModel, items: Sequence[Any], *, new: bool
) -> list[Any]:
    """The actions of a one2many or many2many."""
    if of.kind == "many2many":
        # Tryton links what stands there twice twice.
        return [["add", list(dict.fromkeys(_id(model, of.name, one) for one in items))]]
    made, actions = [], list[Any]()
    inner = await models(of.relation)
    for one in items:
        if not isinstance(one, Mapping):
            raise _bad(model, of.name, f"{one!r:.60} is no row: it should be (field=value, ...)")
        pairs = [(name, value) for name, value in one.items() if name != ID]
        if ID not in one:
            made.append(await _values(inner, models, pairs, new=True))
        elif new:
            raise _bad(model, of.name, "its rows are new, so they have no id yet")
        else:
            values = await _values(inner, models, pairs, new=False)
            actions.append(["write", [_id(model, of.name, one[ID])], values])
    return [*actions, *([["create", made]] if made else [])]


def _rows(model: TrytonModel, name: str, value: Any) -> Sequence[Any]:
    """The items of a list: as they stand there, or as JSON."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except UnreadableAnswer as error:
            raise _bad(model, name, f"this is no JSON: {error}") from None
    if not isinstance(value, list):
        raise _bad(model, name, "it wants a list, such as [(product=:product, quantity=1)]")
    return value


def _id(model: TrytonModel, name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError(value)  # noqa: TRY301, TRY004 - told as any other value that is no id
        return int(value)
    except (TypeError, ValueError):
        raise _bad(model, name, f"{value!r:.60} is no row's id") from None


def _unbound(pairs: Pairs, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, _given(value, given)) for name, value in pairs]


def _given(value: Value | RowLiteral, given: Mapping[str, Any]) -> Any:
    """The value with its parameters filled in."""
    if isinstance(value, Parameter):
        return value.value_in(given)
    if isinstance(value, RowLiteral):
        return dict(_unbound(value.pairs, given))
    if isinstance(value, ListLiteral):
        return [_given(one, given) for one in value.items]
    return value


# -- one value -----------------------------------------------------------------------------


def payload(field: ModelField, value: Any) -> Any:
    """A value as Tryton wants it. Raises Rejected (`bad_value`) for one that doesn't fit."""
    try:
        return _fitting(field, value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise Rejected(
            "bad_value",
            f"field {field.name!r} ({field.native}): {value!r:.60} doesn't fit: {error}",
        ) from None


def _fitting(field: ModelField, value: Any) -> Any:
    if value is None:
        return None
    kind = field.kind
    if (kind == "boolean") != isinstance(value, bool):
        raise ValueError(
            "it wants true or false" if kind == "boolean" else "it wants no truth value"
        )
    if isinstance(value, str) and kind in _TEMPORAL:
        return _TEMPORAL[kind](value)
    if kind in _TEXTS:
        return _chosen(field, value if isinstance(value, str) else str(value))
    if kind in _NUMBERS and isinstance(value, (list, dict)):
        raise ValueError("it wants one number")
    return to_tryton(field, value)


def _chosen(field: ModelField, text: str) -> str:
    """A text that is one of the field's choices; a reference chooses among models."""
    choice, comma, number = text.partition(",") if field.kind == "reference" else (text, "", "")
    if field.choices and choice not in field.choices:
        raise ValueError(f"it is one of {', '.join(field.choices)}")
    if field.kind == "reference" and not (comma and number.isdigit()):
        raise ValueError("it wants MODEL,ID")
    return text


def writable(model: TrytonModel, name: str) -> ModelField:
    """A field that may be written. Raises ConfigurationError."""
    if name in READ_ONLY_FIELDS or name == ID:
        raise ConfigurationError(f"model {model.name!r}: Tryton fills in {name!r} itself")
    return field_of(model, name)


def field_of(model: TrytonModel, name: str) -> ModelField:
    """A field of the model. Raises ConfigurationError."""
    found = model.fields.get(name)
    if found is not None:
        return found
    raise ConfigurationError(unknown_field(model, name))


def unknown_field(model: TrytonModel, name: str) -> str:
    """That there is no such field, and what may have been meant."""
    if name in model.left_out:
        return f"model {model.name!r}, field {name!r} can't be used here: {model.left_out[name]}"
    hint = did_you_mean(name, [*model.fields, *model.lists])
    return f"model {model.name!r} has no field {name!r}{hint}"


def _bad(model: TrytonModel, name: str, why: str) -> Rejected:
    return Rejected("bad_value", f"model {model.name!r}, field {name!r}: {why}")
