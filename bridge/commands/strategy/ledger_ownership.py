"""Which partitions a process owns in the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.commands.contract import PartitionTransactions
from bridge.connector import LedgerWriter
from bridge.log.port import TopicPartition
from bridge.model.errors import Fenced, OutcomeUnknown


class LedgerOwnership:
    """Owns partitions of the commands topic in the ledger too, so that no other process acts for
    them.

    A process that was suspended between its decision and the effect, and lost its partition
    meanwhile, finds another owner in the transaction of its effect. What its successor read in the
    ledger after becoming the owner is therefore final.
    """

    def __init__(self, writer: LedgerWriter, group: str) -> None:
        self._writer = writer
        self._group = group
        self._owned: set[TopicPartition] = set()

    async def take(
        self, owned: PartitionTransactions, offsets: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Take these; returns those that belong to another process according to the log. `offsets`:
        of each partition's first unfinished record. Raises RetryLater.

        The log is checked after the ledger: a process that still owns the partition in the log
        became its owner in the ledger before any successor did.
        """
        added = {
            partition: offset
            for partition, offset in offsets.items()
            if partition not in self._owned
        }
        if not added:
            return set()
        await self._writer.own([ledger_partition(partition) for partition in added])
        lost = set()
        for partition, offset in added.items():
            try:
                async with owned.transaction(partition) as transaction:
                    transaction.commit_offsets(self._group, {partition: offset})
            except (Fenced, OutcomeUnknown):
                lost.add(partition)
            else:
                self._owned.add(partition)
        return lost

    def drop(self, partition: TopicPartition) -> None:
        """Another process became its owner in the ledger: `take` checks again who owns it."""
        self._owned.discard(partition)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `bridge.log.port.Rebalance`."""
        self._owned -= partitions


def ledger_partition(partition: TopicPartition) -> str:
    """The ledger's name of a partition of the commands topic."""
    return str(partition.partition)
