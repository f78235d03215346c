"""What the command stage needs from the rest; `bridge.wiring` hands it in.

log: commands -> decide -> Writer (legacy transaction with the ledger) -> log: receipts, audit
without a ledger: decide -> log: intents -> Writer -> log: receipts, audit
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.log.port import TopicPartition, Transaction


class PartitionTransactions(Protocol):
    """The partitions of the commands topic that this process owns."""

    def transaction(self, partition: TopicPartition, /) -> AbstractAsyncContextManager[Transaction]:
        """As `bridge.log.partition_owner.PartitionOwner.transaction`: Fenced for one that was lost."""


class Epochs(Protocol):
    """The epoch that the target's positions begin with, as capture has it."""

    async def now(self) -> int | None:
        """The current one; None where the system isn't captured. Raises RetryLater."""

    async def close(self) -> None:
        """Let go of the log."""


class NoEpochs:
    """Of a system that nobody captures."""

    async def now(self) -> int | None:
        """As `Epochs.now`."""
        return None

    async def close(self) -> None:
        """As `Epochs.close`."""


CrashPointHook = Callable[[str], None]
"""Told in front of and behind each step that a crash may separate; a test kills there."""

BEFORE_INTENTS, AFTER_INTENTS = "before_intents", "after_intents"
BEFORE_PROBE, AFTER_PROBE = "before_probe", "after_probe"
BEFORE_LEGACY, AFTER_LEGACY = "before_legacy", "after_legacy"
BEFORE_RECEIPTS, AFTER_RECEIPTS = "before_receipts", "after_receipts"


def no_crash_points(step: str) -> None:
    """Nobody is told."""


def elapsed() -> float:
    """Seconds that have passed, those included for which the machine slept where it can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
