"""The types with which the parameters of a declared statement are bound, and the form of its result.

An integer always has 64 bits: a driver that chooses by the value makes `:a * :b` overflow at 200 and
refuses at 40,000 what it accepted at 30,000. The server decides the type of text by its context (an enum,
a date, a column of any type); without a context it is text. Functions of SQL's own `integer` don't accept
64 bits: if the server has no such function or operator, integers are bound with 32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
import sqlalchemy.types as sa_types

from bridge.connector import Effect
from connectors.sql.dialect import SqlDialect
from connectors.sql.errors import first_line
from connectors.sql.postgres.errors import sqlstate
from connectors.sql.write.statement import parameters_of

BINARY_OPTION = "bridge_binary"
"""Execution option of a statement: its result comes as binary values."""

WIDE, NARROW = "int8", "int4"
_CASTS = {
    "boolean": "bool",
    "integer": WIDE,
    "float": "float4",
    "double": "float8",
    "decimal": "numeric",
    "bytes": "bytea",
    "date": "date",
    "time": "time",
    "timestamp": "timestamptz",
    "local_timestamp": "timestamp",
    "uuid": "uuid",
    "string": "",
    "json": "",
}
_LAST_RESORT = {"string": "text", "json": "jsonb"}

#: SQLSTATEs of a statement that is refused before it does anything: no type for a parameter, or
#: several; no such function or operator, or several; types that don't go together; a type of the
#: result that has no binary form, or can't be read back from it.
_UNTYPED = {"42P18", "42P08"}
_NO_SUCH_FORM = {"42883", "42725", "42804", "42846"}
_NO_BINARY = {"42883", "0A000"}
_PARAMETER = re.compile(r"\$(\d+)")


class CastType(sa_types.UserDefinedType[Any]):
    """A parameter that is written with a cast to a type of the server's."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """What is written after the `::`."""
        return self.name


@dataclass(frozen=True, slots=True)
class StatementForm:
    """How a statement is sent: the cast of each parameter (empty: none), and whether the server
    sends its result as binary values, which no setting changes.
    """

    casts: Mapping[str, str]
    binary: bool

    def clause(self, statement: str) -> sa.TextClause:
        """The statement with its casts."""
        typed = [
            sa.bindparam(name, type_=CastType(cast)) for name, cast in self.casts.items() if cast
        ]
        return sa.text(statement).bindparams(*typed)


_PLAIN = StatementForm({}, binary=False)


class StatementForms:
    """The form in which each declared statement was last accepted. For one thread."""

    def __init__(self, dialect: SqlDialect) -> None:
        self._casts = dialect.casts
        self._taken: dict[tuple[Any, ...], StatementForm] = {}

    def of(self, effect: Effect) -> StatementForm:
        """The form to send first: as declared, or as it was accepted before."""
        first = self._first(effect)
        return self._taken.get(_identity(effect, first), first)

    def keep(self, effect: Effect, form: StatementForm) -> None:
        """The server accepted it."""
        if self._casts:
            self._taken[_identity(effect, self._first(effect))] = form

    def following(
        self, effect: Effect, form: StatementForm, error: Exception
    ) -> StatementForm | None:
        """The form to send after `error`; None if no other may work."""
        if not self._casts or not isinstance(error, sa_exc.DBAPIError) or error.orig is None:
            return None
        state = sqlstate(error.orig)
        numbered = _PARAMETER.search(first_line(error)) if state in _UNTYPED else None
        names = parameters_of(effect.statement)
        if numbered and int(numbered[1]) <= len(names):
            name = names[int(numbered[1]) - 1]
            cast = _cast(effect, name, _LAST_RESORT)
            if cast and not form.casts[name]:
                return replace(form, casts={**form.casts, name: cast})
        if state in _UNTYPED | _NO_SUCH_FORM:
            narrow = {name: cast.replace(WIDE, NARROW) for name, cast in form.casts.items()}
            typed = {
                name: cast or _cast(effect, name, _LAST_RESORT) for name, cast in narrow.items()
            }
            for casts in (narrow, typed):
                if casts != form.casts:
                    return replace(form, casts=casts)
        return replace(form, binary=False) if form.binary and state in _NO_BINARY else None

    def _first(self, effect: Effect) -> StatementForm:
        if not self._casts:
            return _PLAIN
        names = parameters_of(effect.statement)
        return StatementForm({name: _cast(effect, name, _CASTS) for name in names}, binary=True)


def is_about_types(error: Exception) -> bool:
    """Whether the server refused only the types of a statement's parameters: the error of another form,
    which got further, is then the reason.
    """
    original = error.orig if isinstance(error, sa_exc.DBAPIError) else None
    state = sqlstate(original) if original is not None else None
    return state in _UNTYPED | _NO_SUCH_FORM | _NO_BINARY


def _identity(effect: Effect, first: StatementForm) -> tuple[Any, ...]:
    return (effect.statement, *first.casts.items())


def _cast(effect: Effect, name: str, casts: Mapping[str, str]) -> str:
    kind = effect.types.get(name)
    if kind is None:
        # A key, in the source's own form, or the command's id.
        own = {int: "integer", str: "string"}.get(type(effect.parameters.get(name)))
        return casts.get(own, "") if own else ""
    if kind.name == "array":
        item = casts.get(kind.item.name, "") if kind.item else ""
        return f"{item}[]" if item else ""
    return casts.get(kind.name, "")
