"""Checks commands' statements against the ERP's models, independent of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from bridge.connector import StatementProblem
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.specs import CommandSpec
from connectors.erp.statement_parser import Parameter
from connectors.tryton.commands.binding import field_of, payload, unknown_field, writable_field
from connectors.tryton.commands.definitions import ErpDefinitions
from connectors.tryton.commands.statement import (
    ListLiteral,
    Pairs,
    RowLiteral,
    TrytonStatement,
    Value,
    Verb,
    parse,
)
from connectors.tryton.http.errors import NoSession
from connectors.tryton.metadata.model import ID, ModelField, TrytonModel

RIGHTS: Final[Mapping[Verb, str]] = {
    "CREATE": "create",
    "WRITE": "write",
    "DELETE": "delete",
    "BUTTON": "read",
    "FIND": "read",
}


async def command_problems(
    commands: Sequence[CommandSpec], erp: ErpDefinitions
) -> list[StatementProblem]:
    """All problems of these commands."""
    problems: list[StatementProblem] = []
    for command in commands:
        texts = await statement_problems(command.run, erp, asks=False)
        problems += [StatementProblem(command.name, "run", text) for text in texts]
        if command.probe:
            texts = await statement_problems(command.probe, erp, asks=True)
            problems += [StatementProblem(command.name, "probe", text) for text in texts]
    return problems


async def statement_problems(text: str, erp: ErpDefinitions, *, asks: bool) -> list[str]:
    """The problems of `run:`, or (`asks`) of `probe:`."""
    try:
        statement = parse(text)
        model = await erp.model(statement.model)
    except NoSession:
        raise
    except ConfigurationError as error:
        return [str(error)]
    if asks != (statement.verb == "FIND"):
        return [
            "`probe:` may only use FIND" if asks else "FIND changes nothing: it belongs in `probe:`"
        ]
    problems = [*_condition_problems(model, statement), *await _right_problems(statement, erp)]
    if statement.button:
        try:
            await erp.check_button(model.name, statement.button)
        except ConfigurationError as error:
            problems.append(str(error))
    if not asks:
        is_new = statement.verb == "CREATE"
        problems += await _value_problems(model, statement.fields, erp, new=is_new)
    return problems


async def _right_problems(statement: TrytonStatement, erp: ErpDefinitions) -> list[str]:
    """What this user may not do. Buttons have groups of their own, which Tryton doesn't reveal."""
    right = RIGHTS[statement.verb]
    if (await erp.rights(statement.model)).get(right, True):
        return []
    missing = f"this user may not {right} rows of {statement.model!r}"
    return [f"{missing}: grant that right in Tryton, under Administration > Models > Access Rights"]


def _condition_problems(model: TrytonModel, statement: TrytonStatement) -> Iterator[str]:
    """Problems of the key, and of FIND's conditions."""
    conditions = statement.fields if statement.verb == "FIND" else ()
    for name, value in (*(statement.key or ()), *conditions):
        values = value.items if isinstance(value, ListLiteral) else (value,)
        yield from _field_problems(partial(field_of, model, name or ID), values)


async def _value_problems(
    model: TrytonModel, pairs: Pairs, erp: ErpDefinitions, *, new: bool
) -> list[str]:
    problems: list[str] = []
    for name, value in pairs:
        list_field = model.lists.get(name)
        if list_field is None:
            values = () if isinstance(value, ListLiteral) else (value,)
            problems += _field_problems(partial(writable_field, model, name), values)
        elif isinstance(value, ListLiteral):
            has_rows = any(isinstance(item, RowLiteral) for item in value.items)
            if list_field.tryton_type == "many2many" and has_rows:
                problems.append(f"{unknown_field(model, name)}: only ids are allowed")
                continue
            for item in value.items:
                if isinstance(item, RowLiteral):
                    item_model = await erp.model(list_field.relation)
                    item_pairs = tuple(pair for pair in item.pairs if new or pair[0] != ID)
                    problems += await _value_problems(item_model, item_pairs, erp, new=new)
                elif list_field.tryton_type == "one2many":
                    problems.append(f"model {model.name!r}, field {name!r}: a row is (field=value)")
        elif not isinstance(value, Parameter):
            problems.append(f"model {model.name!r}, field {name!r}: expected a list, [...]")
    return problems


def _field_problems(
    find_field: Callable[[], ModelField], values: Sequence[Value | RowLiteral]
) -> Iterator[str]:
    """Whether the field exists, and the values that are in the statement fit it."""
    try:
        field = find_field()
        for value in values:
            if isinstance(value, RowLiteral):
                raise ConfigurationError(f"field {field.name!r} is no list of rows")  # noqa: TRY301
            if not isinstance(value, (Parameter, ListLiteral)):
                payload(field, value)
    except (ConfigurationError, Rejected) as error:
        yield str(error)
