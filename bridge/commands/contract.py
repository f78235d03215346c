"""What the command stage needs from the rest; `bridge.wiring` hands it in.

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
        """As `bridge.log.partition_owner.PartitionOwner.transaction`: Fenced for one that was lost."""


class Epochs(Protocol):
    """Reads the epoch that the target's positions begin with, as capture has it."""

    async def now(self) -> int | None:
        """The current one; None where the system isn't captured. Raises RetryLater."""

    async def close(self) -> None:
        """Close what reads the log."""


class NoEpochs:
    """`Epochs` of a system that is not captured."""

    async def now(self) -> int | None:
        """As `Epochs.now`."""
        return None

    async def close(self) -> None:
        """As `Epochs.close`."""


CrashPointHook = Callable[[str], None]
"""Called before and after each action that a crash may separate from the next; a test kills there."""

BEFORE_INTENTS, AFTER_INTENTS = "before_intents", "after_intents"
BEFORE_PROBE, AFTER_PROBE = "before_probe", "after_probe"
BEFORE_LEGACY, AFTER_LEGACY = "before_legacy", "after_legacy"
BEFORE_RECEIPTS, AFTER_RECEIPTS = "before_receipts", "after_receipts"


def no_crash_points(name: str) -> None:
    """Nobody is called."""
    del name
