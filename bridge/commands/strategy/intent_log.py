"""Records in the log that commands are about to be executed, before they are.

If the legacy system keeps no ledger, this is all that a later process knows about an earlier one:
nothing is in progress without its intent. An intent is written in a transaction of its partition's
owner, so a process that lost the partition can't write it, and doesn't act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import count

from bridge.commands.codes import outcome_headers
from bridge.commands.contract import (
    AFTER_INTENTS,
    BEFORE_INTENTS,
    CrashPointHook,
    PartitionTransactions,
)
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.builder import intent, withdrawn
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import PendingCommand
from bridge.log.port import Entry, Headers, TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import headers
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.receipt import Receipt


class IntentLog:
    """The intents of one process.

    instance: distinguishes this process from every other that ever ran.
    index: the receipts, intents among them.
    report: called with a lifecycle whose transitions were written to the log.
    """

    def __init__(
        self,
        instance: str,
        codec: SystemTopicCodec,
        index: ReceiptIndex,
        *,
        clock: Callable[[], datetime],
        crash_point: CrashPointHook,
        report: Callable[[CommandLifecycle], None],
    ) -> None:
        self._instance = instance
        self._codec = codec
        self._index = index
        self._clock = clock
        self._crash_point = crash_point
        self._report = report
        self._numbers = count(1)

    async def write(
        self, commands: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> set[TopicPartition]:
        """Write the intents of these, one transaction per partition, and read them back; returns
        the partitions that were lost. Raises RetryLater while the log is unavailable.

        Reading them back ensures that everything before them was read: an open transaction of
        another process hides what comes after it.
        """
        lost: set[TopicPartition] = set()
        written: set[bytes] = set()
        self._crash_point(BEFORE_INTENTS)
        for partition, pending in _by_partition(commands).items():
            intent_ids = {
                command.id: f"{self._instance}/{next(self._numbers)}".encode()
                for command in pending
            }
            now = self._clock()
            for command in pending:
                command.lifecycle.execute(now)
            # Before the write, because a commit whose response is lost may have written it.
            for command in pending:
                self._index.intend(command.id, command.digest)
            if await self._commit(partition, pending, owned, intent_ids):
                written |= set(intent_ids.values())
            else:
                lost.add(partition)
        await self._index.read_up_to(written)
        self._crash_point(AFTER_INTENTS)
        return lost

    async def _commit(
        self,
        partition: TopicPartition,
        pending: Sequence[PendingCommand],
        owned: PartitionTransactions,
        intent_ids: Mapping[str, bytes],
    ) -> bool:
        """False if the partition was lost."""
        receipts = [
            self._entry(
                command,
                intent(command.incoming.command, self._clock()),
                [(headers.INTENT, intent_ids[command.id])],
            )
            for command in pending
        ]
        audit = [
            self._codec.entry("audit", transition.command_id, transition)
            for command in pending
            for transition in command.lifecycle.unlogged
        ]
        try:
            async with owned.transaction(partition) as transaction:
                await transaction.append(self._codec.topic("receipt"), receipts)
                await transaction.append(self._codec.topic("audit"), audit)
        except (Fenced, OutcomeUnknown):
            return False
        for command in pending:
            self._report(command.lifecycle)
            command.lifecycle.mark_logged()
        return True

    async def withdraw(
        self,
        commands: Mapping[str, tuple[PendingCommand, RetryLater]],
        owned: PartitionTransactions,
    ) -> None:
        """Withdraw intents, by command id with the reason: the commands had no effect and need no
        probe.

        If that can't be written, the intents stay, and the process that reads them probes.
        """
        by_partition = _by_partition([command for command, _ in commands.values()])
        for partition, pending in by_partition.items():
            receipts = [
                self._entry(
                    command,
                    withdrawn(
                        command.incoming.command, str(commands[command.id][1]), self._clock()
                    ),
                )
                for command in pending
            ]
            try:
                async with owned.transaction(partition) as transaction:
                    await transaction.append(self._codec.topic("receipt"), receipts)
            except (Fenced, OutcomeUnknown, RetryLater):
                continue
            for command in pending:
                self._index.withdraw(command.id)

    def _entry(
        self, command: PendingCommand, receipt: Receipt, more_headers: Headers = ()
    ) -> Entry:
        record_headers = [*outcome_headers(receipt, command.digest), *more_headers]
        return self._codec.entry("receipt", command.incoming.target, receipt, record_headers)


def _by_partition(
    commands: Sequence[PendingCommand],
) -> dict[TopicPartition, list[PendingCommand]]:
    by_partition: dict[TopicPartition, list[PendingCommand]] = {}
    for command in commands:
        by_partition.setdefault(command.partition, []).append(command)
    return by_partition
