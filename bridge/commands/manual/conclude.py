"""A person concludes the outcome of a command that the bridge can't determine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.closing import close_all
from bridge.commands.codes import AWAITING_VERDICT_CODES, SETTLED, clip_message, outcome_headers
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.index import ReceiptIndex
from bridge.log.port import Log
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.command import CommandRecord
from bridge.model.errors import Rejected
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import SystemKey, Target


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person found out.

    outcome: succeeded or failed.
    by: the person.
    reason: in their words.
    """

    outcome: Outcome
    by: str
    reason: str


def conclude(
    command: CommandRecord, last: Receipt | None, verdict: Verdict, at: datetime
) -> CommandLifecycle:
    """The receipt and the audit record of a verdict; `last` is the command's last receipt.

    Raises Rejected (`not_unknown`) unless that receipt's outcome is unknown.
    """
    if (
        last is None
        or last.outcome != Outcome.UNKNOWN_OUTCOME
        or last.code not in AWAITING_VERDICT_CODES
    ):
        problem = "it has no receipt" if last is None else f"its receipt says {_words(last)}"
        raise Rejected(
            "not_unknown",
            f"{command.id} is not of unknown outcome: {problem}; only what the bridge itself can't "
            "find out is settled by a person",
        )
    if verdict.outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
        raise Rejected(
            "bad_outcome", f"a command can be settled as succeeded or failed, not {verdict.outcome}"
        )
    lifecycle = CommandLifecycle(command)
    lifecycle.finish(
        Receipt(
            command_id=command.id,
            outcome=verdict.outcome,
            code=SETTLED,
            message=clip_message(f"{verdict.by} looked: {verdict.reason}"),
            result=None,
            version=None,
            position=None,
            finished_at=at,
        ),
        by=clip_message(verdict.by),
    )
    return lifecycle


def target_of(key: SystemKey, command: CommandRecord) -> Target | None:
    """The row that a command is about, by the key of its record; None for a copy that was sent for
    another row, which is not the command.
    """
    return key if isinstance(key, Target) and key.key == command.key else None


def _words(receipt: Receipt) -> str:
    return " ".join(part for part in (receipt.outcome.value, receipt.code) if part)


async def write_conclusion(
    log: Log, codec: SystemTopicCodec, bridge: str, target: Target, lifecycle: CommandLifecycle
) -> None:
    """Write both in one transaction. Of two people who do so at once, one gets Rejected
    (`not_unknown`) or Fenced; so does a person while an executor is about to execute the command
    because it was sent again. Raises what the log raises.
    """
    command, receipt = lifecycle.command, lifecycle.receipt
    assert receipt is not None, "a conclusion has a receipt"  # noqa: S101 - for the types
    producer = await log.producer(f"{bridge}.settle.{command.id}")
    index = ReceiptIndex(log, codec)
    try:
        # After the producer was opened, which fences a concurrent conclusion.
        await index.catch_up()
        last = index.logged(command.id)
        if last is not None and last.outcome != Outcome.UNKNOWN_OUTCOME:
            raise Rejected(
                "not_unknown",
                f"{command.id} has just been settled as {last.outcome} by another person",
            )
        if index.is_started_elsewhere(command.id):
            raise Rejected(
                "not_unknown",
                f"{command.id} was sent again and is being executed: wait for its receipt",
            )
        record_headers = outcome_headers(receipt, command.digest)
        receipts = [codec.entry("receipt", target, receipt, record_headers)]
        audit = [
            codec.entry("audit", transition.command_id, transition)
            for transition in lifecycle.transitions
        ]
        async with producer.transaction() as transaction:
            await transaction.append(codec.topic("receipt"), receipts)
            await transaction.append(codec.topic("audit"), audit)
    finally:
        await close_all(index.close, producer.close)
