"""Receipts and audit records out of what happened: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bridge.commands.decide import Execute
from bridge.commands.guard import Conflict, version_of
from bridge.connector import Done
from bridge.model import headers
from bridge.model.command import CommandRecord
from bridge.model.errors import ConfigurationError, Rejected, RowError
from bridge.model.fixed import AuditRecord
from bridge.model.receipt import Outcome, Receipt, State

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXECUTOR = "executor"
KEY_REUSED = "key_reused"
REFUSED_BEFORE = frozenset({KEY_REUSED})
"""Codes with which a command is rejected; any other error of an effect makes it failed."""
UNSETTLED = frozenset({KEY_REUSED, "bad_id", "bad_digest", "bad_command"})
"""Codes of rejected records that only claim an id: the command that it belongs to is still free to
come, or was another one.
"""

MAX_RESULT = 256_000
"""Bytes of a legacy system's answer that a receipt keeps; a record of the log holds about 900 kB."""
MAX_MESSAGE = 2000

STATE = {
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.EXPIRED: State.EXPIRED,
    Outcome.CANCELLED: State.CANCELLED,
}


@dataclass(slots=True)
class Course:
    """The states that one command has gone through so far, and its receipt at the end.

    `answered`: it had its receipt before, which said so; then nothing is written. `repeated`: it
    had taken effect before, and gets its receipt now.
    """

    command: CommandRecord
    steps: list[AuditRecord] = field(default_factory=list)
    receipt: Receipt | None = None
    repeated: bool = False
    answered: Outcome | None = None

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

    def end(self, receipt: Receipt) -> None:
        """The command's last state."""
        self.receipt = receipt
        self.reach(
            STATE[receipt.outcome],
            receipt.finished_at,
            code=receipt.code,
            message=receipt.message,
            version=receipt.version,
        )


def settles(receipt: Receipt) -> bool:
    """Whether this is the one receipt of its command's id."""
    return receipt.code not in UNSETTLED


def settled(receipt: Receipt, command: CommandRecord) -> list[tuple[str, bytes]]:
    """The headers by which readers of receipts know what was answered, without decoding it."""
    if not settles(receipt):
        return []
    return [
        (headers.DIGEST, command.digest.encode()),
        (headers.OUTCOME, receipt.outcome.encode()),
    ]


def refused(
    record: CommandRecord, outcome: Outcome, code: str, message: str, at: datetime
) -> Receipt:
    """The receipt of a command that was not carried out."""
    return Receipt(record.id, outcome, code, message, None, None, None, at)


def reused(record: CommandRecord, at: datetime) -> Receipt:
    """The receipt of a command whose id stands for another content."""
    message = f"command {record.id!r} was asked for before with another content"
    return refused(record, Outcome.REJECTED, KEY_REUSED, message, at)


def succeeded(record: CommandRecord, decision: Execute, done: Done, at: datetime) -> Receipt:
    """The receipt of a command that took effect, now or (repeated) the first time."""
    if done.finished_at is not None:
        at = EPOCH + timedelta(microseconds=done.finished_at)
    try:
        version = version_of(decision.spec, decision.table, done.shape, done.after)
    except RowError:
        # The effect is there all the same; its row just has no version that the bridge can tell.
        version = None
    result, message = done.result, None
    if result is not None and len(result.encode()) > MAX_RESULT:
        result, message = None, f"the answer has more than {MAX_RESULT} bytes and isn't kept"
    return Receipt(record.id, Outcome.SUCCEEDED, None, message, result, version, None, at)


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
    return Receipt(record.id, outcome, code, str(error)[:MAX_MESSAGE], None, version, None, at)


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
