"""Builds the receipt of what became of a command. Pure."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.commands.codes import (
    HELD_BACK,
    IN_PROGRESS,
    MAX_MESSAGE_CHARACTERS,
    NOT_STARTED,
    RECONCILED,
    REJECTION_CODES,
    UNKNOWN,
    UNPROVEN,
    clip_message,
)
from bridge.commands.decision.decide import Execute
from bridge.commands.decision.expectation import Conflict, version_of
from bridge.commands.receipts.masked_result import MaskedPaths, without_masked
from bridge.connector import Done
from bridge.model.command import CommandRecord
from bridge.model.error_text import clean_text, describe_error, error_message
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RowError
from bridge.model.position import MAX_COMMIT, MAX_NUMBER, format_position
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import Target

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_RESULT_BYTES = 256_000
"""Bytes of a legacy system's answer that a receipt keeps; a record of the log holds about 900 kB."""


def intent(record: CommandRecord, at: datetime) -> Receipt:
    """The receipt of a command that is about to be executed."""
    message = "it is being carried out; an executor that comes upon this finds out what happened"
    return refused(record, Outcome.UNKNOWN_OUTCOME, IN_PROGRESS, message, at)


def withdrawn(record: CommandRecord, reason: str, at: datetime) -> Receipt:
    """The receipt that takes an intent back: nothing of it has happened."""
    message = f"it has not been carried out, and is tried again: {reason}"
    return refused(record, Outcome.UNKNOWN_OUTCOME, NOT_STARTED, message, at)


def unknown(record: CommandRecord, target: Target, reason: str, at: datetime) -> Receipt:
    """The receipt of a command of which nobody but a person can tell whether it has happened."""
    message = f"nobody can tell whether {record.name} has taken effect ({reason}): "
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNKNOWN, message, at)


def unproven(record: CommandRecord, target: Target, reason: str, at: datetime) -> Receipt:
    """The receipt of a command whose first receipt isn't to be believed."""
    message = (
        f"the log has a receipt that {record.name} succeeded, but {reason}: perhaps somebody else "
        "wrote that receipt, or the ledger lost rows. Nothing is carried out; "
    )
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNPROVEN, message, at)


def _conclude(record: CommandRecord, target: Target) -> str:
    return (
        f"look at {target.entity} {target.key} in {target.system}, then say what you found by "
        f"`bridgectl commands settle {record.id} --as succeeded|failed --reason TEXT`"
    )


def held_back(record: CommandRecord, reason: str, at: datetime) -> Receipt:
    """The receipt of a command that waits: nothing of it has happened."""
    message = f"it has not been carried out, and waits: {reason}"
    return refused(record, Outcome.UNKNOWN_OUTCOME, HELD_BACK, message, at)


def reconciled(
    record: CommandRecord,
    decision: Execute | None,
    done: Done,
    at: datetime,
    epoch: int | None = None,
    *,
    masked: MaskedPaths = frozenset(),
) -> Receipt:
    """The receipt of a command that the system, when asked, said to have taken effect."""
    message = "the system was asked whether it has taken effect, and it has"
    receipt = succeeded(record, decision, done, at, epoch, masked=masked)
    return replace(receipt, code=RECONCILED, message=receipt.message or message)


def refused(
    record: CommandRecord, outcome: Outcome, code: str, message: str, at: datetime
) -> Receipt:
    """The receipt of a command that was not executed."""
    return Receipt(record.id, outcome, code, clip_message(message), None, None, None, at)


def succeeded(
    record: CommandRecord,
    decision: Execute | None,
    done: Done,
    at: datetime,
    epoch: int | None = None,
    *,
    masked: MaskedPaths = frozenset(),
) -> Receipt:
    """The receipt of a command that took effect, now or (repeated) the first time; `decision`
    None: its row's version is not known any more. `epoch` is that of the system's history, as of
    after the effect. What the system answered in `masked` columns is left out.
    """
    if done.finished_at is not None:
        with contextlib.suppress(OverflowError):
            at = _UNIX_EPOCH + timedelta(microseconds=done.finished_at)
    version = None
    if decision is not None:
        # The effect is there even where its row has no version that the bridge can compute.
        with contextlib.suppress(Exception):
            version = version_of(decision.spec, decision.table, done.shape, done.after)
    if version is not None:
        version = clean_text(version)
    message = None
    # It has taken effect: nothing in the system's answer may keep its receipt from being written.
    result = None if done.result is None else without_masked(done.result, masked)
    result = None if result is None else result.encode(errors="replace").decode()
    if result is not None and len(result.encode()) > MAX_RESULT_BYTES:
        result, message = None, f"the answer has more than {MAX_RESULT_BYTES} bytes and isn't kept"
    position = position_of(done, epoch)
    return Receipt(record.id, Outcome.SUCCEEDED, None, message, result, version, position, at)


def position_of(done: Done, epoch: int | None) -> str | None:
    """The effect is at or before this position of the system's history; None where the system doesn't
    report one, or isn't captured.
    """
    if epoch is None or done.position is None or not 0 <= done.position <= MAX_COMMIT:
        return None
    return format_position(epoch, done.position, MAX_NUMBER)


def failed(record: CommandRecord, error: Exception, at: datetime) -> Receipt:
    """The receipt of a command whose effect was refused; nothing of it happened."""
    version = error.version if isinstance(error, Conflict) else None
    outcome = Outcome.FAILED
    if isinstance(error, Rejected):
        code = error.code
        if code in REJECTION_CODES:
            outcome = Outcome.REJECTED
    elif isinstance(error, RowError):
        code = "bad_row"
    elif isinstance(error, ConfigurationError):
        code = "misconfigured"
    else:
        code = "legacy_error"
    message = error_message(error, MAX_MESSAGE_CHARACTERS)
    if not isinstance(error, BridgeError):
        message = describe_error(error, MAX_MESSAGE_CHARACTERS)
    return Receipt(record.id, outcome, code, message, None, version, None, at)
