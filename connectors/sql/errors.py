"""Translates the errors of SQLAlchemy and its drivers into those of the bridge, which are named by what
the caller should do. Messages have no statement values. The meaning of a driver's own codes is in
`postgres/errors.py` and `sqlite/errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc as sa_exc

from bridge.model.error_text import error_message, error_name
from bridge.model.errors import BridgeError, Rejected, RetryLater
from bridge.model.withheld_error_text import withheld
from connectors.sql.postgres.errors import sqlstate, translate_sqlstate
from connectors.sql.quoted_values import may_be_quoted
from connectors.sql.sqlite.errors import sqlite_code, translate_code


def first_line(error: BaseException) -> str:
    """The driver's own message without the statement and its parameters; withheld if it may quote a
    masked column.
    """
    original = error.orig if isinstance(error, sa_exc.DBAPIError) else None
    if not may_be_quoted(original or error):
        return withheld(sqlstate(original or error))
    text = error_message(original or error).strip()
    return text.splitlines()[0] if text else error_name(error)


def translate_error(error: Exception, where: str, code: str = "legacy_error") -> BridgeError:
    """`error` of a driver or of SQLAlchemy as one of the bridge's; `where` is for people, `code` of
    a Rejected.
    """
    if isinstance(error, BridgeError):
        return error
    original = getattr(error, "orig", None) or error
    message = f"{where}: {first_line(error)}"
    result_code, state = sqlite_code(original), sqlstate(original)
    if getattr(error, "connection_invalidated", False):
        return RetryLater(f"{message} (the connection was lost)")
    if result_code is not None:
        translation = translate_code(result_code, message)
        if translation is not None:
            return translation
    if state is not None:
        return translate_sqlstate(state, message, code)
    if isinstance(error, sa_exc.OperationalError) and result_code is None:
        return RetryLater(message)
    if isinstance(error, (sa_exc.TimeoutError, sa_exc.DisconnectionError)):
        return RetryLater(message)
    return Rejected(code, message)


@contextmanager
def translating_errors(where: str, code: str = "legacy_error") -> Iterator[None]:
    """Raise what SQLAlchemy or a driver raises inside as one of the bridge's errors."""
    try:
        yield
    except (sa_exc.SQLAlchemyError, OverflowError) as error:
        raise translate_error(error, where, code) from error
