"""SQLite's errors, named by what the caller should do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater

_CONFIGURATION = {
    sqlite3.SQLITE_CANTOPEN: "can't be opened: check that its folder exists and is writable",
    sqlite3.SQLITE_PERM: "may not be used by this user: fix its permissions",
    sqlite3.SQLITE_READONLY: "can't be written by this user: fix the permissions of the file "
    "and of its folder",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: name another file",
    sqlite3.SQLITE_CORRUPT: "is damaged: stop every process that uses it, then restore a copy",
}


_MAY_PASS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EINTR})


def named(error: sqlite3.Error, path: Path, *, committing: bool = False) -> Exception:
    """The bridge's error for one of SQLite's, caused by it; our own mistakes stay what they are.

    `committing`: it was raised by COMMIT, where after a failed write or flush it is unknown what is
    on disk.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error  # Not raised by SQLite, but for the way it was called.
    translated = _named(error, code & 0xFF, path, committing=committing)
    translated.__cause__ = error
    return translated


def not_made(error: OSError, path: Path) -> BridgeError:
    """The bridge's error if the file doesn't exist and can't be created."""
    hint = _CONFIGURATION[sqlite3.SQLITE_CANTOPEN]
    message = f"the embedded log {path} {hint}: {error.strerror}"
    return RetryLater(message) if error.errno in _MAY_PASS else ConfigurationError(message)


def _named(error: sqlite3.Error, code: int, path: Path, *, committing: bool) -> BridgeError:
    reason = f"{error} ({error.sqlite_errorname})"
    if code in _CONFIGURATION:
        return ConfigurationError(f"the embedded log {path} {_CONFIGURATION[code]}: {reason}")
    if code == sqlite3.SQLITE_FULL:
        return RetryLater(
            f"the disk that holds the embedded log {path} is full: nothing was written; "
            "free some space, then it continues"
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return RetryLater(
            f"another process keeps the embedded log {path} locked: nothing was written; "
            "find the one that hangs in the middle of a write, and end it"
        )
    if code == sqlite3.SQLITE_IOERR and committing:
        return OutcomeUnknown(
            f"the disk failed while the embedded log {path} was committing: {reason}"
        )
    if code == sqlite3.SQLITE_IOERR:
        return RetryLater(
            f"the disk that holds the embedded log {path} fails: {reason}; nothing was written"
        )
    return RetryLater(f"the embedded log {path} can't be used now: {reason}")
