"""A person says what became of a command of which no machine can tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.commands.receipts.builder import UNDECIDED, CommandLifecycle, kept, settled
from bridge.commands.receipts.index import ReceiptIndex
from bridge.log.port import Log
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.command import CommandRecord
from bridge.model.errors import Rejected
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import Target

SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person found: `by` whom, `reason` in their words."""

    outcome: Outcome
    by: str
    reason: str


def concluded_lifecycle(
    command: CommandRecord, last: Receipt | None, found: Verdict, at: datetime
) -> CommandLifecycle:
    """The receipt and the audit record of what was found.

    Raises Rejected (`not_unknown`) unless the last word on the command is that nobody can tell.
    """
    if last is None or last.outcome != Outcome.UNKNOWN_OUTCOME or last.code not in UNDECIDED:
        word = "it has no receipt" if last is None else f"its receipt says {_said(last)}"
        raise Rejected(
            "not_unknown",
            f"{command.id} is not of unknown outcome: {word}; only what the bridge itself can't "
            "find out is settled by hand",
        )
    if found.outcome not in (Outcome.SUCCEEDED, Outcome.FAILED):
        raise Rejected("bad_outcome", f"a command is settled as succeeded or failed, not {found}")
    course = CommandLifecycle(command)
    course.end(
        Receipt(
            command_id=command.id,
            outcome=found.outcome,
            code=SETTLED,
            message=kept(f"{found.by} looked: {found.reason}"),
            result=None,
            version=None,
            position=None,
            finished_at=at,
        ),
        by=kept(found.by),
    )
    return course


def _said(receipt: Receipt) -> str:
    return " ".join(part for part in (receipt.outcome.value, receipt.code) if part)


async def write_conclusion(
    log: Log, codec: SystemTopicCodec, bridge: str, target: Target, course: CommandLifecycle
) -> None:
    """Write both in one transaction. Of two people at the same moment only one does: the other gets
    Rejected (`not_unknown`) or Fenced; so does a person while an executor is about to carry it out,
    because it was sent again. Raises what the log raises.
    """
    receipt = course.receipt
    assert receipt is not None, "a settlement has a receipt"  # noqa: S101 - for the types
    told = settled(receipt, course.command.digest)
    producer = await log.producer(f"{bridge}.settle.{course.command.id}")
    answered = ReceiptIndex(log, codec)
    try:
        # Behind the producer, which ends what another person had under way.
        await answered.catch_up()
        last = answered.told(course.command.id)
        if last is not None and last.outcome != Outcome.UNKNOWN_OUTCOME:
            raise Rejected(
                "not_unknown",
                f"{course.command.id} has just been settled as {last.outcome} by somebody else",
            )
        if answered.begun(course.command.id):
            raise Rejected(
                "not_unknown",
                f"{course.command.id} was sent again, and an executor is at it: look what comes of it",
            )
        async with producer.transaction() as transaction:
            entry = codec.entry("receipt", target, receipt, told)
            await transaction.append(codec.topic("receipt"), [entry])
            steps = [codec.entry("audit", step.command_id, step) for step in course.steps]
            await transaction.append(codec.topic("audit"), steps)
    finally:
        await answered.close()
        await producer.close()
