"""SQLite's result codes as errors that say what the caller should do. Pure."""

from __future__ import annotations

from bridge.model.errors import BridgeError, ConfigurationError, RetryLater, SystemBusy

# Primary result codes (https://www.sqlite.org/rescode.html).
_BUSY_CODES = {5: "busy", 6: "locked"}
_RETRY_CODES = {9: "interrupted", 10: "I/O error", 13: "disk full"}
_SETUP_CODES = {
    3: "no permission",
    8: "read only",
    11: "damaged",
    14: "cannot be opened",
    23: "not authorised",
    26: "not a database",
}
_NOT_COMMITTED_CODES = (5, 13)
_UNWRITABLE_CODES = (3, 8, 14, 23)


def sqlite_code(error: BaseException) -> int | None:
    """The primary result code, if the error is SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def translate_code(code: int, message: str) -> BridgeError | None:
    """The bridge's error for this result code; None if the statement itself is wrong."""
    if code in _BUSY_CODES:
        return SystemBusy(message)
    if code in _RETRY_CODES:
        return RetryLater(message)
    return ConfigurationError(message) if code in _SETUP_CODES else None


def is_commit_refused(error: BaseException) -> bool:
    """Whether SQLite was busy or full: it refused the commit and has written nothing."""
    return sqlite_code(error) in _NOT_COMMITTED_CODES


def is_unwritable(error: BaseException) -> bool:
    """Whether this user can't write the file."""
    return sqlite_code(error) in _UNWRITABLE_CODES
