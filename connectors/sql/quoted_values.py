"""Which errors of a database may quote values of rows. Pure.

PostgreSQL's own messages of most classes name tables, columns and constraints only; the DETAIL quotes
rows ("Failing row contains ..."), messages of class 22 the value that could not be read, and whatever a
trigger or function raises may hold anything. So may the names in a statement that one of them puts
together (`syntax error at or near "DE44..."`). SQLite's name tables and columns, but for triggers' words.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from connectors.sql.postgres.errors import MISSING_RIGHT_STATE

#: Classes of SQLSTATE whose messages, when they are the server's own, hold names only.
_NAMES_ONLY: Final = frozenset(
    {"08", "0A", "23", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}
)
#: Of these, whose messages repeat names as a statement has them, whether there is such a thing or not.
_FROM_STATEMENT: Final = frozenset({"0A", "3D", "3F", "42", "54", "55"})
_RAISED_BY: Final = ("pl", "exec_stmt", "pgfdw", "dblink")
"""Procedural languages, and what passes on the words of another server."""
_NOT_QUOTED: Final = "_bridge_may_not_be_quoted"


def forbid_quoting(error: BaseException) -> None:
    """Note on a driver's error that it came from a system with masked columns."""
    setattr(error, _NOT_QUOTED, True)


def may_be_quoted(error: BaseException) -> bool:
    """Whether the first line of an error may be passed on."""
    return not getattr(error, _NOT_QUOTED, False) or is_free_of_values(error)


def is_free_of_values(error: Any) -> bool:
    """Whether it is certain that the first line of a driver's error names tables, columns and
    constraints at most.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_CONSTRAINT_TRIGGER
    state = getattr(error, "sqlstate", None)
    if state is None:
        # The connection's, not a statement's: libpq has no rows.
        return hasattr(error, "diag") and error.diag.message_primary is None
    diag = getattr(error, "diag", None)
    raised_by = (getattr(diag, "source_function", None) or "").lower()
    if "raise" in raised_by or raised_by.startswith(_RAISED_BY):
        return False
    is_in_function = getattr(diag, "context", None) or getattr(diag, "internal_query", None)
    if is_in_function and str(state) != MISSING_RIGHT_STATE and str(state)[:2] in _FROM_STATEMENT:
        return False
    return str(state)[:2] in _NAMES_ONLY
