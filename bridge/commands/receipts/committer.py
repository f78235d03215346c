"""Commits the results of a batch: receipts, audit records, dead letters, offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic

from bridge.commands.codes import UNPROVEN, only_claims_id
from bridge.commands.contract import (
    AFTER_RECEIPTS,
    BEFORE_RECEIPTS,
    CrashPointHook,
    PartitionTransactions,
)
from bridge.commands.incoming import IncomingCommand, PartitionBatch
from bridge.commands.lifecycle import FINAL_STATES, CommandLifecycle
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.outcome_table import recorded_outcome
from bridge.commands.receipts.records import PartitionRecords, RecordBuilder
from bridge.log.port import TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.observe import CommandMoved, DeadLetterWritten, Observer


class ReceiptCommitter:
    """Writes one log transaction per partition, then reports to the observer. Used by one task.

    Offsets after records for which nothing was written are committed at intervals.

    max_record_bytes: the log's maximum bytes per record.
    """

    def __init__(
        self,
        group: str,
        codec: SystemTopicCodec,
        index: ReceiptIndex,
        observer: Observer,
        *,
        max_record_bytes: int,
        crash_point: CrashPointHook,
    ) -> None:
        self._records = RecordBuilder(codec, max_record_bytes)
        self._group = group
        self._index = index
        self._observer = observer
        self._crash_point = crash_point
        self._pending_offsets: dict[TopicPartition, int] = {}
        self._offsets_moved_at = monotonic()

    async def write(
        self,
        owned: PartitionTransactions,
        partition: TopicPartition,
        batch: PartitionBatch,
        lifecycles: Mapping[int, CommandLifecycle | None],
    ) -> int | None:
        """Write what is done, up to the first command that waits; returns its offset, None if all
        are done. Raises RetryLater while the log is unavailable.

        lifecycles: by offset; None for a command that waits.
        """
        records = self._records.of_batch(batch, lifecycles)
        if not records.entries:
            self._pending_offsets[partition] = records.next_offset
        offsets = {partition: records.next_offset}
        if not records.entries or await self._commit(owned, partition, records, offsets):
            self._report(records)
        return records.next_offset if records.waits else None

    async def write_held(
        self,
        owned: PartitionTransactions,
        partition: TopicPartition,
        resumed: Iterable[tuple[IncomingCommand, CommandLifecycle]],
    ) -> None:
        """Write the results of held commands, whose records were skipped before. Raises RetryLater
        while the log is unavailable.
        """
        records = self._records.of_held(resumed)
        if not records.entries or await self._commit(owned, partition, records, {}):
            self._report(records)

    async def move_offsets(self, owned: PartitionTransactions, min_pause_s: float = 0.0) -> None:
        """Commit the group's offsets past records for which nothing was written, unless that was
        done within the last `min_pause_s` seconds.
        """
        if monotonic() - self._offsets_moved_at < min_pause_s:
            return
        self._offsets_moved_at = monotonic()
        offsets, self._pending_offsets = self._pending_offsets, {}
        for partition, offset in offsets.items():
            try:
                async with owned.transaction(partition) as transaction:
                    transaction.commit_offsets(self._group, {partition: offset})
            except (Fenced, OutcomeUnknown):
                continue
            except RetryLater:
                self._pending_offsets.setdefault(partition, offset)

    def report_transitions(self, lifecycle: CommandLifecycle) -> None:
        """Report the transitions that have just been written to the log."""
        command = lifecycle.command
        for transition in lifecycle.unlogged:
            self._observer(
                CommandMoved(
                    command.id,
                    command.name,
                    transition.state,
                    transition.code or "",
                    lifecycle.is_repeated,
                    command.key,
                    transition.message or "",
                )
            )

    async def _commit(
        self,
        owned: PartitionTransactions,
        partition: TopicPartition,
        records: PartitionRecords,
        offsets: Mapping[TopicPartition, int],
    ) -> bool:
        """False if the partition was lost: its commands are delivered again, here or elsewhere, and
        the ledger and the receipts show what happened.
        """
        self._crash_point(BEFORE_RECEIPTS)
        try:
            async with owned.transaction(partition) as transaction:
                for topic, entries in records.entries.items():
                    await transaction.append(topic, entries)
                if offsets:
                    transaction.commit_offsets(self._group, offsets)
        except (Fenced, OutcomeUnknown):
            return False
        self._crash_point(AFTER_RECEIPTS)
        for committed in offsets:
            self._pending_offsets.pop(committed, None)
        return True

    def _report(self, records: PartitionRecords) -> None:
        """Report what is in the log now, and add it to the index."""
        for letter in records.letters:
            self._observer(DeadLetterWritten("command", letter.source, letter.reason))
        for lifecycle in records.lifecycles:
            self._report_end(lifecycle)
        for command_id, record in records.held.items():
            self._index.hold(command_id, record)

    def _report_end(self, lifecycle: CommandLifecycle) -> None:
        command, receipt = lifecycle.command, lifecycle.receipt
        if receipt is not None and receipt.code == UNPROVEN:
            self._index.dispute(command.id, command.digest)
        elif receipt is not None and not lifecycle.is_held and not only_claims_id(receipt.code):
            self._index.add(command.id, recorded_outcome(command.digest, receipt.outcome))
        self.report_transitions(lifecycle)
        if lifecycle.logged_outcome is not None:
            state = FINAL_STATES[lifecycle.logged_outcome]
            self._observer(
                CommandMoved(command.id, command.name, state, "", repeated=True, key=command.key)
            )
