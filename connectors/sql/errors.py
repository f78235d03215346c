"""Database errors, named by what the caller should do. Messages hold no statement values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc as sa_exc

from bridge.model.error_text import error_message, error_name
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RetryLater
from bridge.model.withheld import withheld
from connectors.sql.quoted_values import may_be_quoted

# Classes of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_LATER_CLASSES = ("08", "40", "53", "57")
_LATER = ("55P03", "25006")
_SETUP = {
    "28000": "check the user in `url`",
    "28P01": "check the user and the password in `url`",
    "3D000": "check the database in `url`",
    "3F000": "correct the schema",
    "42501": "give the user in `url` that right: `bridgectl check` has the statements, also of "
    "commands, as far as the server can be asked",
    "42P01": "make the table, or correct its name",
    "42703": "correct the column's name",
}
# Primary result codes of SQLite (https://www.sqlite.org/rescode.html).
_SQLITE_LATER = {5: "busy", 6: "locked", 10: "I/O error", 13: "disk full"}
_SQLITE_SETUP = {
    3: "no permission",
    8: "read only",
    11: "damaged",
    14: "cannot be opened",
    23: "not authorised",
    26: "not a database",
}


def first_line(error: BaseException) -> str:
    """The driver's own message without the statement and its parameters; withheld where it may quote
    a column that is masked.
    """
    original = error.orig if isinstance(error, sa_exc.DBAPIError) else None
    if not may_be_quoted(original or error):
        return withheld(sqlstate(original or error))
    text = error_message(original or error).strip()
    return text.splitlines()[0] if text else error_name(error)


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's primary result code, where the error is SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE, where the driver tells one."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_refusal(error: BaseException) -> bool:
    """Whether the server itself said that the transaction failed (a serialisation failure, a
    deadlock, a constraint), so that nothing of it happened.
    """
    return (sqlstate(error) or "")[:2] in ("23", "40")


def translate_error(error: Exception, where: str, code: str = "legacy_error") -> BridgeError:
    """`error` of a driver or of SQLAlchemy as one of the bridge's; `where` is for people."""
    if isinstance(error, BridgeError):
        return error
    original = getattr(error, "orig", None) or error
    message = f"{where}: {first_line(error)}"
    lite, state = sqlite_code(original), sqlstate(original)
    if getattr(error, "connection_invalidated", False):
        return RetryLater(f"{message} (the connection was lost)")
    if lite in _SQLITE_LATER:
        return RetryLater(message)
    if lite in _SQLITE_SETUP:
        return ConfigurationError(message)
    if state is not None:
        if state[:2] in _LATER_CLASSES or state in _LATER:
            return RetryLater(message)
        if state in _SETUP:
            return ConfigurationError(f"{message}; {_SETUP[state]}")
        return Rejected(code, message)
    if isinstance(error, sa_exc.OperationalError) and lite is None:
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
