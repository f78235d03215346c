"""Refusals of the ERP as errors that say what the caller should do. Pure.

An error inside an answer means that the transaction was rolled back: nothing happened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    LoginRefused,
    Rejected,
    SystemBusy,
)
from bridge.model.redaction import redact
from bridge.model.withheld_error_text import WITHHELD


@dataclass(frozen=True, slots=True)
class TrytonFault:
    """An error inside an answer.

    - `exception`: Tryton's own (`UserError`, `UserWarning`, `ConcurrencyException`, ...); empty for others.
    - `text`: its words, for people.
    - `name`: of a warning.
    """

    exception: str
    text: str
    name: str = ""


class NoSession(ConfigurationError):
    """The address or the login is wrong, so that no call can be made."""


class UserRefused(NoSession, LoginRefused):
    """The ERP refuses the user: each further try may make it wait longer."""


class CallRefused(Rejected):
    """Tryton refused a call, whose transaction was rolled back; `fault` is its answer."""

    def __init__(self, code: str, message: str, fault: TrytonFault) -> None:
        super().__init__(code, message)
        self.fault = fault


_RECORDS = re.compile(r"^[0-9a-f]{32}\.(?=.)")
_BUSY = re.compile(
    r"database (table )?is locked|could not serialize access|could not obtain lock"
    r"|deadlock detected|due to (lock|statement) timeout|couldn't get a connection after",
    re.IGNORECASE,
)
"""Messages of Tryton's databases when transactions conflict, or when one could not begin. Not "the
connection is lost": that may have happened during the commit.
"""
EXCEPTIONS = ("UserError", "UserWarning", "ConcurrencyException", "LoginException")


def fault_of(error: Any) -> TrytonFault:
    """The error of an answer: `[exception, details]` of a known one, else `[text, traceback]`."""
    if not isinstance(error, list) or not error:
        return TrytonFault("", _first_line(error))
    exception, details = error[0], error[1] if len(error) > 1 else ""
    if exception not in EXCEPTIONS:
        return TrytonFault("", _first_line(exception))
    parts = [part for part in details if isinstance(part, str)] if isinstance(details, list) else []
    if exception == "UserWarning":
        name, *sentences = parts or [""]
        return TrytonFault(exception, _joined(sentences), name)
    if exception == "ConcurrencyException":
        return TrytonFault(exception, _first_line(details))
    return TrytonFault(exception, _joined(parts))


def error_of(fault: TrytonFault, where: str, *, masked: bool = False) -> BridgeError:
    """The error to raise for a fault; `where` names the system and what was asked. `masked`: its
    words may quote a masked column.
    """
    words = f"{WITHHELD}." if masked and fault.text else fault.text
    if fault.exception == "UserWarning":
        return CallRefused(
            "warning",
            f"{where}: the ERP warns: {words} Nothing was done; a command that may ignore this "
            f"warning says so at the end of its `run:`: despite '{warning_kind(fault.name)}'",
            fault,
        )
    if fault.exception == "ConcurrencyException":
        return CallRefused(
            "conflict", f"{where}: somebody else changed the row meanwhile ({words})", fault
        )
    if fault.exception == "LoginException":
        return UserRefused(
            f"{where}: the ERP asks for more than a password ({fault.text}); give the bridge a "
            "user of its own that doesn't need that"
        )
    if not fault.exception and (reason := rollback_reason(fault.text)):
        return SystemBusy(f"{where}: the ERP's database is busy ({reason})")
    return CallRefused("legacy_error", f"{where}: {words or 'the ERP failed'}", fault)


def rollback_reason(text: str) -> str:
    """Why a call was rolled back by the ERP's database, in its words; empty if that isn't certain.
    `text`: a fault's, or the page of a 503, by which Tryton reports what its database refused.
    """
    match = _BUSY.search(unescape(text))
    return match.group() if match else ""


def warning_kind(warning: str) -> str:
    """The part of a warning's name that is the same for all records: without the hash of the
    records that most begin with.
    """
    return _RECORDS.sub("", warning)


def status_error(status: int, where: str, after: float | None = None) -> BridgeError | None:
    """The error for an HTTP status that means no effect; None for any other."""
    if status == 404:
        return NoSession(
            f"{where}: there is no such database, or no Tryton; `url` is https://HOST:PORT/DATABASE"
        )
    if status == 403:
        return Rejected("forbidden", f"{where}: the ERP doesn't offer that to remote callers (403)")
    if status == 413:
        return Rejected("too_large", f"{where}: too much at once for the ERP (413)")
    if status == 429:
        return SystemBusy(
            f"{where}: the ERP refuses for now, after too many calls or wrong passwords (429)",
            after=after,
        )
    if status in (400, 415, 422):
        return Rejected("legacy_error", f"{where}: the ERP doesn't understand the call ({status})")
    return None


def _joined(parts: list[str]) -> str:
    texts = [redact(part).strip() for part in parts]
    return " - ".join(text for text in texts if text).replace("\n", "; ")


def _first_line(value: Any) -> str:
    # A secret may have several lines, of which the first must not be left.
    lines = redact(str(value or "")).strip().splitlines()
    return lines[0] if lines else ""
