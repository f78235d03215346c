"""psycopg's errors as the bridge's: what to do, in words that hold no secret."""

from __future__ import annotations

import re
from collections.abc import Sequence

import psycopg

from bridge.connector import System
from bridge.model.errors import BridgeError, ConfigurationError, LoginRefused, RetryLater
from bridge.model.redaction import redact
from bridge.model.withheld_error_text import withheld
from connectors.sql.postgres.address import NOT_AN_ADDRESS
from connectors.sql.postgres.errors import LOGIN_STATES, is_login_refusal
from connectors.sql.quoted_values import is_free_of_values

#: SQLSTATEs (or their classes) that asking again does not cure.
_FIX = ("28", "3D", "42", "3F", "0A", "22", "55000")
#: A refused login comes without a code. These words say that asking again is no use; where the
#: server speaks another language, `refusal` finds out its code.
_FIX_WORDS = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|"
    r"database .* does not exist|role .* does not exist|authentication failed|"
    r"is not permitted to log in|permission denied|must be superuser or replication role|"
    r"does not support SSL|certificate verify failed|root certificate file|"
    r"fe_sendauth|invalid connection option|replication role|REPLICATION attribute",
    re.IGNORECASE,
)
_HINTS = {
    "password authentication failed": "check the user and the password in `url`",
    "no password supplied": "give a password in `url`, by reference: ${env:NAME}",
    "no pg_hba.conf entry": "add a line for this user, host and database to pg_hba.conf and reload",
    "Connection refused": "start the server, or correct host and port in `url`",
    'FATAL: database "': "check the database in `url`",
    "does not support SSL": "let the server offer TLS (ssl = on), or correct sslmode in `url`",
    "root certificate file": "name the file of the server's authority as sslrootcert in `url`",
    "certificate verify failed": "name the file of the server's authority as sslrootcert in `url`",
    "REPLICATION": "run: ALTER ROLE ... REPLICATION; for the user in `url`",
    "replication role": "run: ALTER ROLE ... REPLICATION; for the user in `url`",
}
_STATE_HINTS = {
    "28P01": "check the user and the password in `url`",
    "28000": "check the user in `url`, and whether pg_hba.conf has a line for it",
    "3D000": "check the database in `url`",
    "42501": "let a user who may do that run what `bridgectl setup {system} --show` prints",
}


def clean(text: str) -> str:
    """Text of libpq on one line, without secrets."""
    return " ".join(redact(text).split())


def server_words(error: psycopg.Error, system: System) -> str:
    """The server's message; if `system` has masked columns, only text that quotes no value: never the
    DETAIL or the CONTEXT, which have rows.
    """
    if not system.masked:
        return clean(str(error))
    if not is_free_of_values(error):
        return withheld(error.sqlstate)
    return clean(error.diag.message_primary or str(error))


def says_why(error: psycopg.Error) -> bool:
    """Whether it is known what to do about a connection that failed, or nobody refused it."""
    explained = (psycopg.ProgrammingError, psycopg.errors.ConnectionTimeout)
    has_reason = error.sqlstate is not None or isinstance(error, explained)
    return has_reason or _FIX_WORDS.search(str(error)) is not None


def translate_error(
    error: psycopg.Error, system: System, doing: str, refused: Sequence[str] = ()
) -> BridgeError:
    """What a failed connection or statement means for the caller; `refused` as in `refusal`."""
    server_text = server_words(error, system) or type(error).__name__
    text = f"system {system.name!r} ({system.shown_url}): {doing}: {server_text}"
    state = error.sqlstate
    if state is None and refused:
        # One of several servers may answer later.
        state = next((code for code in refused if not code.startswith(_FIX)), refused[-1])
    hint = next((hint for words, hint in _HINTS.items() if words in server_text), "")
    hint = hint or _STATE_HINTS.get(state or "", "")
    if hint:
        text += f"; {hint.replace('{system}', system.name)}"
    if state is not None:
        fix = state.startswith(_FIX)
    elif isinstance(error, psycopg.ProgrammingError):
        # libpq could not read the address; its message may quote a part of the password.
        return ConfigurationError(f"system {system.name!r}: {NOT_AN_ADDRESS}")
    else:
        fix = _FIX_WORDS.search(server_text) is not None
    if fix and (state in LOGIN_STATES or (state is None and is_login_refusal(error))):
        return LoginRefused(text)
    return ConfigurationError(text) if fix else RetryLater(text)
