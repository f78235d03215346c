"""PostgreSQL's SQLSTATEs as errors that say what the caller should do. Pure."""

from __future__ import annotations

import re

from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    Rejected,
    RetryLater,
    SystemBusy,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_RETRY_CLASSES = ("08", "40", "53", "57")
_RETRY_STATES = ("25006",)
_BUSY_STATES = ("53300", "53400", "55P03", "57014")
"""Too many connections, a configured limit, a lock that isn't available, a cancelled statement (by
its time-out: who cancels it otherwise doesn't wait for the answer).
"""
MISSING_RIGHT_STATE = "42501"
_SETUP_HINTS = {
    "28000": "check the user in `url`",
    "28P01": "check the user and the password in `url`",
    "3D000": "check the database in `url`",
    "3F000": "correct the schema",
    MISSING_RIGHT_STATE: "grant the user in `url` that right: `bridgectl check` has the statements, also for "
    "commands, as far as the server can be asked",
    "42P01": "create the table, or correct its name",
    "42703": "correct the column's name",
}
_ROLLED_BACK_CLASSES = ("23", "40")
LOGIN_STATES = ("28P01", "28000")
_LOGIN_WORDS = re.compile(
    r"authentication failed|no password supplied|role .* does not exist|"
    r"is not permitted to log in|fe_sendauth",
    re.IGNORECASE,
)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE, if the error has one."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def translate_sqlstate(state: str, message: str, code: str) -> BridgeError:
    """The bridge's error for this SQLSTATE; Rejected with `code` if the statement itself is wrong."""
    if state in _BUSY_STATES:
        return SystemBusy(message)
    if state[:2] in _RETRY_CLASSES or state in _RETRY_STATES:
        return RetryLater(message)
    if state in _SETUP_HINTS:
        return ConfigurationError(f"{message}; {_SETUP_HINTS[state]}")
    return Rejected(code, message)


def is_rolled_back(error: BaseException) -> bool:
    """Whether the server itself said that the transaction failed (a serialisation failure, a
    deadlock, a constraint), so that it had no effect.
    """
    return (sqlstate(error) or "")[:2] in _ROLLED_BACK_CLASSES


def is_login_refusal(error: BaseException) -> bool:
    """Whether a connection failed because of its user or password. Most refusals come without a
    code; for a server with another language than English this can't be recognised by the text.
    """
    return sqlstate(error) in LOGIN_STATES or _LOGIN_WORDS.search(str(error)) is not None
