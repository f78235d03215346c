"""What the command stage needs from other stages; `bridge.wiring` provides it.

log: commands -> decide -> Writer (legacy transaction with the ledger) -> log: receipts, audit
without a ledger: decide -> log: intents -> Writer -> log: receipts, audit
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.log.port import TopicPartition, Transaction


class PartitionTransactions(Protocol):
    """Writes to the log as the owner of partitions of the commands topic."""

    def transaction(self, partition: TopicPartition, /) -> AbstractAsyncContextManager[Transaction]:
        """As `bridge.log.partition_owner.PartitionOwner.transaction`: raises Fenced if the
        partition was lost.
        """


class Epochs(Protocol):
    """Reads the current epoch of the target's positions, as capture records it."""

    async def now(self) -> int | None:
        """The current epoch; None if the system isn't captured. Raises RetryLater."""

    async def close(self) -> None:
        """Close the log reader."""


class NoEpochs:
    """`Epochs` of a system that is not captured."""

    async def now(self) -> int | None:
        """As `Epochs.now`."""
        return None

    async def close(self) -> None:
        """As `Epochs.close`."""


CrashPointHook = Callable[[str], None]
"""Called at each point where a crash would separate two actions; a test kills the process there."""

BEFORE_INTENTS, AFTER_INTENTS = "before_intents", "after_intents"
BEFORE_PROBE, AFTER_PROBE = "before_probe", "after_probe"
BEFORE_LEGACY, AFTER_LEGACY = "before_legacy", "after_legacy"
BEFORE_RECEIPTS, AFTER_RECEIPTS = "before_receipts", "after_receipts"


def no_crash_points(name: str) -> None:
    """Do nothing."""
    del name
