"""Sends new commands to replace those that ended without effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.commands.codes import RETRY_CODE, clip_message
from bridge.log.port import Log
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.agent_name import OPERATOR_HANDLER
from bridge.model.command import CommandRecord, command_id
from bridge.model.receipt import State
from bridge.model.system_records import AuditRecord, Target

MAX_RETRIES_PER_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """A person's request to retry commands.

    deadline: of the new commands; None: that of the old ones.
    """

    by: str
    reason: str
    deadline: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class RetriedCommand:
    """A new command.

    old_id: of the command that it replaces.
    target: the row that it is about.
    """

    old_id: str
    record: CommandRecord
    target: Target


def retry_id(old: CommandRecord) -> str:
    """The id of the command that retries this one: always the same, so that asking twice has the
    effect of asking once.
    """
    return command_id(old.agent, _idempotency_key(old))


def retry_of(old: CommandRecord, request: RetryRequest) -> CommandRecord:
    """The same content under a new id, derived from the old one. It keeps its agent, which
    therefore still skips the changes that the command causes; the reason and the audit name the
    person and the old id.
    """
    cause = f": {request.reason}" if request.reason else ""
    return replace(
        old,
        id=retry_id(old),
        idempotency_key=_idempotency_key(old),
        handler=OPERATOR_HANDLER,
        reason=clip_message(f"retry of {old.id} by {request.by}{cause}"),
        deadline=old.deadline if request.deadline is None else request.deadline,
        requested_at=request.at,
    )


def _idempotency_key(old: CommandRecord) -> str:
    return f"{OPERATOR_HANDLER}/{RETRY_CODE}/{old.id}"


async def send_retries(
    log: Log,
    codec: SystemTopicCodec,
    bridge: str,
    retries: Sequence[RetriedCommand],
    *,
    request: RetryRequest,
    report_written: Callable[[int], None],
) -> None:
    """Append the commands, each with an audit record of who requested it, many per transaction.

    report_written: called with the number written so far.

    Raises Fenced if another process starts the same meanwhile, and what the log raises; if called
    again, it continues after what was written.
    """
    producer = await log.producer(f"{bridge}.{RETRY_CODE}")
    try:
        for at in range(0, len(retries), MAX_RETRIES_PER_TRANSACTION):
            part = retries[at : at + MAX_RETRIES_PER_TRANSACTION]
            async with producer.transaction() as transaction:
                await transaction.append(
                    codec.topic("command"),
                    [codec.entry("command", retry.target, retry.record) for retry in part],
                )
                await transaction.append(
                    codec.topic("audit"),
                    [
                        codec.entry("audit", retry.record.id, _audit_record(retry, request))
                        for retry in part
                    ],
                )
            report_written(at + len(part))
    finally:
        await producer.close()


def _audit_record(retry: RetriedCommand, request: RetryRequest) -> AuditRecord:
    return AuditRecord(
        command_id=retry.record.id,
        name=retry.record.name,
        state=State.RECEIVED,
        by=request.by,
        at=request.at,
        code=RETRY_CODE,
        message=retry.record.reason,
        digest=retry.record.digest,
    )
