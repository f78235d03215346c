"""Receipts and audit records out of what happened: pure."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bridge.commands.decision.decide import UNREADABLE, Execute
from bridge.commands.decision.expectation import Conflict, version_of
from bridge.commands.receipts.masked_result import MaskedPaths, without_masked
from bridge.connector import Done
from bridge.model import headers
from bridge.model.command import CommandRecord
from bridge.model.error_text import clean_text, describe_error, error_message
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RowError
from bridge.model.position import MAX_COMMIT, MAX_NUMBER, format_position
from bridge.model.receipt import Outcome, Receipt, State
from bridge.model.system_records import AuditRecord, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXECUTOR = "executor"
KEY_REUSED = "key_reused"
REFUSED_BEFORE = frozenset({KEY_REUSED})
"""Codes with which a command is rejected; any other error of an effect makes it failed."""
UNSETTLED = frozenset({KEY_REUSED, *UNREADABLE})
"""Codes of rejected records that only claim an id: the command that it belongs to is still free to
come, or was another one.
"""

IN_PROGRESS, NOT_STARTED, UNKNOWN, RECONCILED = (
    "in_progress",
    "not_started",
    "unknown",
    "reconciled",
)
"""Codes of commands into systems without a ledger: about to be carried out; taken back, nothing of
it has happened; nobody can tell whether it has; the system was asked, and it has.
"""

HELD_BACK = "held_back"
"""Code of a command that waits until its declaration has what it lacks: nothing of it has happened."""

UNPROVEN = "unproven"
"""Code of a command whose receipt said that it succeeded, while the system's ledger has no row of it."""
UNDECIDED = frozenset({UNKNOWN, UNPROVEN})
"""Codes of commands that wait for a person's conclusion."""
OUTCOME_HEADERS = {
    NOT_STARTED: headers.WITHDRAWN,
    UNPROVEN: headers.DISPUTED,
    HELD_BACK: headers.HELD,
}
"""What a receipt of this code says in its header instead of its outcome."""

MAX_RESULT = 256_000
"""Bytes of a legacy system's answer that a receipt keeps; a record of the log holds about 900 kB."""
MAX_MESSAGE = 2000

STATE = {
    Outcome.UNKNOWN_OUTCOME: State.UNKNOWN,
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.EXPIRED: State.EXPIRED,
    Outcome.CANCELLED: State.CANCELLED,
}


@dataclass(slots=True)
class CommandLifecycle:
    """The states that one command has gone through so far, and its receipt at the end.

    `answered`: it had its receipt before, which said so; then nothing is written. `repeated`: it
    had taken effect before, and gets its receipt now. `written`: so many steps are in the log. `aside`: a later version of the bridge has ended it; what this one
    says beside that is for people, and no reader of headers may take it for the last word.
    """

    command: CommandRecord
    steps: list[AuditRecord] = field(default_factory=list)
    receipt: Receipt | None = None
    repeated: bool = False
    answered: Outcome | None = None
    written: int = 0
    aside: bool = False

    def reach(
        self,
        state: State,
        at: datetime,
        *,
        by: str = EXECUTOR,
        code: str | None = None,
        message: str | None = None,
        version: str | None = None,
    ) -> None:
        """The command is now in `state`."""
        self.steps.append(
            AuditRecord(
                command_id=self.command.id,
                name=self.command.name,
                state=state,
                by=by,
                at=at,
                code=code,
                message=message,
                digest=self.command.digest,
                version=version,
            )
        )

    def doubt(self, why: str, at: datetime) -> None:
        """It may have happened, and the system is asked."""
        self.reach(State.UNKNOWN, at, message=kept(why))
        self.reach(State.RECONCILING, at)

    def hold(self, why: str, at: datetime) -> None:
        """It waits, and its record is passed by: what the log says of it here is how it is found."""
        last = self.steps[-1].state if len(self.steps) > self.written else None
        if last == State.EXECUTING:
            self.steps.pop()
        message = f"it has not been carried out, and waits: {why}"
        self.receipt = refused(self.command, Outcome.UNKNOWN_OUTCOME, HELD_BACK, message, at)
        state = State.VALIDATED if self.steps else State.RECEIVED
        self.reach(state, at, code=HELD_BACK, message=self.receipt.message)

    @property
    def held(self) -> bool:
        """Whether it has come to nothing yet but that it waits."""
        return self.receipt is not None and self.receipt.code == HELD_BACK

    def end(self, receipt: Receipt, *, by: str = EXECUTOR) -> None:
        """The command's last state."""
        self.receipt = receipt
        self.reach(
            STATE[receipt.outcome],
            receipt.finished_at,
            by=by,
            code=receipt.code,
            message=receipt.message,
            version=receipt.version,
        )


def kept(text: str) -> str:
    """A message as the log can keep it: not too long, and UTF-8."""
    return clean_text(text, MAX_MESSAGE)


def claims_only(code: str | None) -> bool:
    """Whether a receipt with this code only answers a record that claimed an id."""
    return code in UNSETTLED


def settles(receipt: Receipt) -> bool:
    """Whether this is the one receipt with which its command's id has ended."""
    return not claims_only(receipt.code) and receipt.outcome != Outcome.UNKNOWN_OUTCOME


def settled(receipt: Receipt, digest: str) -> list[tuple[str, bytes]]:
    """The headers by which readers of receipts know what was answered, without decoding it."""
    if claims_only(receipt.code):
        return []
    outcome = OUTCOME_HEADERS.get(receipt.code or "", receipt.outcome.encode())
    return [(headers.DIGEST, digest.encode()), (headers.OUTCOME, outcome)]


def intent(record: CommandRecord, at: datetime) -> Receipt:
    """The receipt of a command that is about to be carried out."""
    message = "it is being carried out; an executor that comes upon this finds out what happened"
    return refused(record, Outcome.UNKNOWN_OUTCOME, IN_PROGRESS, message, at)


def withdrawn(record: CommandRecord, why: str, at: datetime) -> Receipt:
    """The receipt that takes an intent back: nothing of it has happened."""
    message = f"it has not been carried out, and is tried again: {why}"
    return refused(record, Outcome.UNKNOWN_OUTCOME, NOT_STARTED, message, at)


def unknown(record: CommandRecord, target: Target, why: str, at: datetime) -> Receipt:
    """The receipt of a command of which nobody but a person can tell whether it has happened."""
    message = f"nobody can tell whether {record.name} has taken effect ({why}): "
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNKNOWN, message, at)


def unproven(record: CommandRecord, target: Target, why: str, at: datetime) -> Receipt:
    """The receipt of a command whose first receipt isn't to be believed."""
    message = (
        f"the log has a receipt that {record.name} succeeded, but {why}: perhaps somebody else "
        "wrote that receipt, or the ledger lost rows. Nothing is carried out; "
    )
    message += _conclude(record, target)
    return refused(record, Outcome.UNKNOWN_OUTCOME, UNPROVEN, message, at)


def _conclude(record: CommandRecord, target: Target) -> str:
    return (
        f"look at {target.entity} {target.key} in {target.system}, then say what you found by "
        f"`bridgectl commands settle {record.id} --as succeeded|failed --reason TEXT`"
    )


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
    found = succeeded(record, decision, done, at, epoch, masked=masked)
    return replace(found, code=RECONCILED, message=found.message or message)


def refused(
    record: CommandRecord, outcome: Outcome, code: str, message: str, at: datetime
) -> Receipt:
    """The receipt of a command that was not carried out."""
    return Receipt(record.id, outcome, code, kept(message), None, None, None, at)


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
    None: its row's version can't be told any more. `epoch` is that of the system's history, as of
    after the effect. What the system answered in `masked` columns is left out.
    """
    if done.finished_at is not None:
        with contextlib.suppress(OverflowError):
            at = EPOCH + timedelta(microseconds=done.finished_at)
    version = None
    if decision is not None:
        # The effect is there all the same where its row has no version that the bridge can tell.
        with contextlib.suppress(Exception):
            version = version_of(decision.spec, decision.table, done.shape, done.after)
    if version is not None:
        version = clean_text(version)
    message = None
    # It has taken effect: nothing in the system's answer may keep its receipt from being written.
    result = None if done.result is None else without_masked(done.result, masked)
    result = None if result is None else result.encode(errors="replace").decode()
    if result is not None and len(result.encode()) > MAX_RESULT:
        result, message = None, f"the answer has more than {MAX_RESULT} bytes and isn't kept"
    position = position_of(done, epoch)
    return Receipt(record.id, Outcome.SUCCEEDED, None, message, result, version, position, at)


def position_of(done: Done, epoch: int | None) -> str | None:
    """The position at or in front of which the effect stands in the system's history; None where
    the system doesn't tell, or isn't captured.
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
        if code in REFUSED_BEFORE:
            outcome = Outcome.REJECTED
    elif isinstance(error, RowError):
        code = "bad_row"
    elif isinstance(error, ConfigurationError):
        code = "misconfigured"
    else:
        code = "legacy_error"
    message = error_message(error, MAX_MESSAGE)
    if not isinstance(error, BridgeError):
        message = describe_error(error, MAX_MESSAGE)
    return Receipt(record.id, outcome, code, message, None, version, None, at)


def waves(keys: Sequence[bytes | None]) -> list[list[int]]:
    """Indexes in groups in which no key is twice, so that order a key holds even when one of a
    group has to wait.
    """
    seen: dict[bytes | None, int] = {}
    found: list[list[int]] = []
    for index, key in enumerate(keys):
        number = seen.get(key, 0)
        seen[key] = number + 1
        if number == len(found):
            found.append([])
        found[number].append(index)
    return found
