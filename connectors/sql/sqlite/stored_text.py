"""Statements whose parameters may be text that isn't UTF-8, which no driver binds as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from bridge.model.encoded_text import EncodedText


class StoredText(sa.types.UserDefinedType[bytes]):
    """A parameter whose bytes are text in the database: bound as a BLOB and cast.

    The plus takes the affinity of the cast away, which would turn the numbers of a column without a
    type into text (https://www.sqlite.org/datatype3.html#affinity_of_expressions).
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Never part of a table; SQLAlchemy requires a name."""
        return "TEXT"

    def bind_expression(self, bindvalue: sa.BindParameter[bytes]) -> sa.ColumnElement[Any]:
        """`+CAST(:name AS TEXT)`."""
        return UnaryExpression(sa.cast(bindvalue, sa.Text()), operator=custom_op("+"))


def statement_for(text: str, parameters: Mapping[str, Any]) -> sa.TextClause:
    """`text` as a statement that binds these parameters by their own types."""
    encoded = [
        sa.bindparam(name, type_=StoredText())
        for name, value in parameters.items()
        if isinstance(value, EncodedText)
    ]
    statement = sa.text(text)
    return statement.bindparams(*encoded) if encoded else statement


def stored_forms(values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """A key in every form in which the database may store it: a code page's bytes as text, and as
    the BLOB of a program that writes them so.
    """
    choices = [
        (value, bytes(value)) if isinstance(value, EncodedText) else (value,) for value in values
    ]
    return list(product(*choices))
