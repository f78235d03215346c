"""Which errors of a database may quote values of rows. Pure.

PostgreSQL's own messages of most classes name tables, columns and constraints only; the DETAIL quotes
rows ("Failing row contains ..."), messages of class 22 the value that could not be read, and whatever a
trigger or function raises may hold anything. SQLite's name tables and columns, but for triggers' words.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

#: Classes of SQLSTATE whose messages, when they are the server's own, hold names only.
_NAMES_ONLY: Final = frozenset(
    {"08", "0A", "23", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}
)
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
    raised_by = (getattr(getattr(error, "diag", None), "source_function", None) or "").lower()
    is_own = "raise" not in raised_by and not raised_by.startswith(("pl", "exec_stmt"))
    return is_own and str(state)[:2] in _NAMES_ONLY
