"""Builds receipts, one function per kind of end. Pure."""

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
"""Maximum bytes of a legacy system's result in a receipt; a log record holds about 900 kB."""


def intent(record: CommandRecord, at: datetime) -> Receipt:
    """The receipt of a command that is about to be executed."""
    message = "it is being executed; an executor that finds this receipt determines what happened"
    return refused(record, Outcome.UNKNOWN_OUTCOME, IN_PROGRESS, message, at)


def withdrawn(record: CommandRecord, reason: str, at: datetime) -> Receipt:
    """The receipt that withdraws an intent: the command has had no effect."""
    message = f"it has not been executed, and is retried: {reason}"
    return refused(record, Outcome.UNKNOWN_OUTCOME, NOT_STARTED, message, at)


def unknown(record: CommandRecord, target: Target, reason: str, at: datetime) -> Receipt:
    """The receipt of a command of which only a person can find out whether it has taken effect."""
    message = f"the bridge can't find out whether {record.name} has taken effect ({reason}): "
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNKNOWN, message, at)


def unproven(record: CommandRecord, target: Target, reason: str, at: datetime) -> Receipt:
    """The receipt of a command whose first receipt can't be trusted."""
    message = (
        f"the log has a receipt that {record.name} succeeded, but {reason}: perhaps another "
        "program "
        "wrote that receipt, or the ledger lost rows. Nothing is executed; "
    )
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNPROVEN, message, at)


def _conclude(record: CommandRecord, target: Target) -> str:
    return (
        f"check {target.entity} {target.key} in {target.system}, then record what you found with "
        f"`bridgectl commands settle {record.id} --as succeeded|failed --reason TEXT`"
    )


def held_back(record: CommandRecord, reason: str, at: datetime) -> Receipt:
    """The receipt of a command that waits: it has had no effect."""
    message = f"it has not been executed, and waits: {reason}"
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
    """The receipt of a command that has taken effect, as the system said when it was probed."""
    message = "the system was asked whether it had taken effect, and it had"
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
    """The receipt of a command that took effect, now or (repeated) earlier.
    decision: None if its row's version is no longer known.
    epoch: of the system's history, read after the effect.
    masked: columns that are left out of the system's result.
    """
    if done.finished_at is not None:
        with contextlib.suppress(OverflowError):
            at = _UNIX_EPOCH + timedelta(microseconds=done.finished_at)
    version = None
    if decision is not None:
        # The effect took place even if the bridge can't compute the row's version.
        with contextlib.suppress(Exception):
            version = version_of(decision.spec, decision.table, done.shape, done.after)
    if version is not None:
        version = clean_text(version)
    message = None
    # It has taken effect: nothing in the system's result may prevent its receipt.
    result = None if done.result is None else without_masked(done.result, masked)
    result = None if result is None else result.encode(errors="replace").decode()
    if result is not None and len(result.encode()) > MAX_RESULT_BYTES:
        result, message = None, f"the result has more than {MAX_RESULT_BYTES} bytes and isn't kept"
    position = position_of(done, epoch)
    return Receipt(record.id, Outcome.SUCCEEDED, None, message, result, version, position, at)


def position_of(done: Done, epoch: int | None) -> str | None:
    """The effect is at or before this position of the system's history; None if the system doesn't
    report one, or isn't captured.
    """
    if epoch is None or done.position is None or not 0 <= done.position <= MAX_COMMIT:
        return None
    return format_position(epoch, done.position, MAX_NUMBER)


def failed(record: CommandRecord, error: Exception, at: datetime) -> Receipt:
    """The receipt of a command whose effect was refused; it had no effect."""
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
