"""Whether commands' statements fit what the ERP has, whatever their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bridge.connector import StatementProblem
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.specs import CommandSpec
from connectors.erp.statement_parser import Parameter
from connectors.tryton.commands.binding import field_of, payload, unknown_field, writable
from connectors.tryton.commands.definitions import ErpDefinitions
from connectors.tryton.commands.statement import (
    ListLiteral,
    Pairs,
    RowLiteral,
    TrytonStatement,
    Value,
    parse,
)
from connectors.tryton.http.errors import NoSession
from connectors.tryton.metadata.model import ID, ModelField, TrytonModel

RIGHTS = {
    "CREATE": "create",
    "WRITE": "write",
    "DELETE": "delete",
    "BUTTON": "read",
    "FIND": "read",
}


async def command_problems(
    commands: Sequence[CommandSpec], erp: ErpDefinitions
) -> list[StatementProblem]:
    """All that is wrong with these commands."""
    found: list[StatementProblem] = []
    for command in commands:
        told = await statement_problems(command.run, erp, asks=False)
        found += [StatementProblem(command.name, "run", what) for what in told]
        if command.probe:
            told = await statement_problems(command.probe, erp, asks=True)
            found += [StatementProblem(command.name, "probe", what) for what in told]
    return found


async def statement_problems(text: str, erp: ErpDefinitions, *, asks: bool) -> list[str]:
    """What is wrong with `run:`, or (`asks`) `probe:`."""
    try:
        statement = parse(text)
        model = await erp.model(statement.model)
    except NoSession:
        raise
    except ConfigurationError as error:
        return [str(error)]
    if asks != (statement.verb == "FIND"):
        return [
            "`probe:` asks by FIND alone" if asks else "FIND changes nothing: it goes into `probe:`"
        ]
    found = [*_named(model, statement), *await _refused(statement, erp)]
    if statement.button:
        try:
            await erp.check_button(model.name, statement.button)
        except ConfigurationError as error:
            found.append(str(error))
    if not asks:
        found += await _written(model, statement.fields, erp, new=statement.verb == "CREATE")
    return found


async def _refused(statement: TrytonStatement, erp: ErpDefinitions) -> list[str]:
    """What this user may not do. Buttons have groups of their own, which Tryton doesn't tell."""
    right = RIGHTS[statement.verb]
    if (await erp.rights(statement.model)).get(right, True):
        return []
    what = f"this user may not {right} rows of {statement.model!r}"
    return [f"{what}: give it that right in Tryton, under Administration > Models > Access Rights"]


def _named(model: TrytonModel, statement: TrytonStatement) -> Iterator[str]:
    """The key, and what FIND asks for."""
    asked = statement.fields if statement.verb == "FIND" else ()
    for name, value in (*(statement.key or ()), *asked):
        each = value.items if isinstance(value, ListLiteral) else (value,)
        yield from _one(partial(field_of, model, name or ID), each)


async def _written(
    model: TrytonModel, pairs: Pairs, erp: ErpDefinitions, *, new: bool
) -> list[str]:
    found: list[str] = []
    for name, value in pairs:
        of = model.lists.get(name)
        if of is None:
            whole = isinstance(value, ListLiteral)
            found += _one(partial(writable, model, name), () if whole else (value,))
        elif isinstance(value, ListLiteral):
            if of.kind == "many2many" and any(isinstance(one, RowLiteral) for one in value.items):
                found.append(f"{unknown_field(model, name)}: it takes ids alone")
                continue
            for row in value.items:
                if isinstance(row, RowLiteral):
                    inner = tuple(one for one in row.pairs if new or one[0] != ID)
                    found += await _written(await erp.model(of.relation), inner, erp, new=new)
                elif of.kind == "one2many":
                    found.append(f"model {model.name!r}, field {name!r}: a row is (field=value)")
        elif not isinstance(value, Parameter):
            found.append(f"model {model.name!r}, field {name!r}: it wants a list, [...]")
    return found


def _one(field: Callable[[], ModelField], values: Sequence[Value | RowLiteral]) -> Iterator[str]:
    """Whether there is such a field, and the values that stand in the statement fit."""
    try:
        found = field()
        for value in values:
            if isinstance(value, RowLiteral):
                raise ConfigurationError(f"field {found.name!r} is no list of rows")  # noqa: TRY301
            if not isinstance(value, (Parameter, ListLiteral)):
                payload(found, value)
    except (ConfigurationError, Rejected) as error:
        yield str(error)
