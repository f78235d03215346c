"""Writes what the partitions of a batch came to: receipts, audit records, dead letters, offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic

from bridge.commands.contract import (
    AFTER_RECEIPTS,
    BEFORE_RECEIPTS,
    CrashPointHook,
    PartitionTransactions,
)
from bridge.commands.incoming import IncomingCommand, PartitionBatch
from bridge.commands.receipts.builder import STATE, UNPROVEN, CommandLifecycle, claims_only
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.outcome_table import recorded_outcome
from bridge.commands.receipts.records import PartitionRecords, RecordBuilder
from bridge.log.port import TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.observe import CommandMoved, DeadLetterWritten, Observer


class ReceiptCommitter:
    """One log transaction a partition, then the observer is told. Used by one task.

    Offsets behind which there was nothing to write are kept, and moved now and then. `room`: the
    bytes that the log takes a record.
    """

    def __init__(
        self,
        group: str,
        codec: SystemTopicCodec,
        answered: ReceiptIndex,
        observer: Observer,
        *,
        room: int,
        steps: CrashPointHook,
    ) -> None:
        self._outcomes = RecordBuilder(codec, room)
        self._group = group
        self._answered = answered
        self._observer = observer
        self._steps = steps
        self._offsets: dict[TopicPartition, int] = {}
        self._wrote_at = monotonic()

    async def write(
        self,
        owned: PartitionTransactions,
        place: TopicPartition,
        part: PartitionBatch,
        courses: Mapping[int, CommandLifecycle | None],
    ) -> int | None:
        """Write what is through, up to the first command that waits; returns its offset, None where
        all are through. Raises RetryLater while the log is away.
        """
        outcome = self._outcomes.outcome_of(part, courses)
        if not outcome.entries:
            self._offsets[place] = outcome.upto
        offsets = {place: outcome.upto}
        if not outcome.entries or await self._commit(owned, place, outcome, offsets):
            self._tell(outcome)
        return outcome.upto if outcome.waits else None

    async def write_held(
        self,
        owned: PartitionTransactions,
        place: TopicPartition,
        taken_up: Iterable[tuple[IncomingCommand, CommandLifecycle]],
    ) -> None:
        """Write what became of held commands, whose records were passed by before. Raises RetryLater
        while the log is away.
        """
        outcome = self._outcomes.outcome_of_held(taken_up)
        if not outcome.entries or await self._commit(owned, place, outcome, {}):
            self._tell(outcome)

    def _tell(self, outcome: PartitionRecords) -> None:
        for letter in outcome.letters:
            self._observer(DeadLetterWritten("command", letter.source, letter.reason))
        for course in outcome.courses:
            self._ended(course)
        for command_id, record in outcome.held.items():
            self._answered.hold(command_id, record)

    async def move_offsets(self, owned: PartitionTransactions, every: float = 0.0) -> None:
        """Move the group past records behind which there was nothing to write, unless that was done
        within the last `every` seconds.
        """
        if monotonic() - self._wrote_at < every:
            return
        self._wrote_at = monotonic()
        offsets, self._offsets = self._offsets, {}
        for place, upto in offsets.items():
            try:
                async with owned.transaction(place) as transaction:
                    transaction.commit_offsets(self._group, {place: upto})
            except (Fenced, OutcomeUnknown):
                continue
            except RetryLater:
                self._offsets.setdefault(place, upto)

    def told(self, course: CommandLifecycle) -> None:
        """Its steps since the last time are in the log."""
        command = course.command
        for step in course.steps[course.written :]:
            self._observer(
                CommandMoved(
                    command.id,
                    command.name,
                    step.state,
                    step.code or "",
                    course.repeated,
                    command.key,
                    step.message or "",
                )
            )

    async def _commit(
        self,
        owned: PartitionTransactions,
        place: TopicPartition,
        outcome: PartitionRecords,
        offsets: Mapping[TopicPartition, int],
    ) -> bool:
        """False when the partition was lost: its commands come again, here or elsewhere, and the
        ledger and the receipts tell then what happened.
        """
        self._steps(BEFORE_RECEIPTS)
        try:
            async with owned.transaction(place) as transaction:
                for topic, some in outcome.entries.items():
                    await transaction.append(topic, some)
                if offsets:
                    transaction.commit_offsets(self._group, offsets)
        except (Fenced, OutcomeUnknown):
            return False
        self._steps(AFTER_RECEIPTS)
        for written in offsets:
            self._offsets.pop(written, None)
        return True

    def _ended(self, course: CommandLifecycle) -> None:
        """What it came to is in the log."""
        command, receipt = course.command, course.receipt
        if receipt is not None and receipt.code == UNPROVEN:
            self._answered.dispute(command.id, command.digest)
        elif receipt is not None and not course.held and not claims_only(receipt.code):
            self._answered.add(command.id, recorded_outcome(command.digest, receipt.outcome))
        self.told(course)
        if course.answered is not None:
            state = STATE[course.answered]
            self._observer(
                CommandMoved(command.id, command.name, state, "", repeated=True, key=command.key)
            )
