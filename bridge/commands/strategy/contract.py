"""How effects get into a system exactly once: what every execution strategy offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.commands.contract import PartitionTransactions
from bridge.commands.decision.decide import Decision
from bridge.commands.incoming import IncomingCommand
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.outcome_table import RecordedOutcome
from bridge.connector import Done, Effect
from bridge.log.port import TopicPartition


@dataclass(slots=True)
class PendingCommand:
    """One command of a batch that has no receipt yet.

    index: its index in the batch.
    incoming: its record.
    lifecycle: its transitions so far.
    decision: what to do once it is certain that it has not taken effect.
    is_intended: its last receipt in the log says that it may have taken effect.
    is_doubtful: it may already have taken effect; do not execute before a probe says it has not.
    generation: `ReceiptIndex.generation` when it was probed.
    is_denied: the probe said that it has not taken effect.
    """

    index: int
    incoming: IncomingCommand
    lifecycle: CommandLifecycle
    decision: Decision
    is_intended: bool = False
    is_doubtful: bool = False
    generation: int = 0
    is_denied: bool = False

    @property
    def id(self) -> str:
        """The command's id."""
        return self.incoming.command.id

    @property
    def digest(self) -> str:
        """The command's digest."""
        return self.incoming.command.digest

    @property
    def partition(self) -> TopicPartition:
        """The partition of its record."""
        return self.incoming.partition

    @property
    def effect(self) -> Effect | None:
        """What it would do, if known."""
        return self.decision.effect


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The system was probed, and the command has taken effect."""

    done: Done


ExecutionResult = Done | Reconciled | RecordedOutcome | Exception
"""The result of a command that was to be executed.

Done: it took effect now. Reconciled: it had taken effect earlier. RecordedOutcome: it already has
its receipt. RetryLater, Fenced: it waits. OutcomeUnknown: it may have taken effect, which can't be
determined. Any other error: it was refused and had no effect.
"""


class ExecutionStrategy(Protocol):
    """Executes effects once each. All calls come from the executor's task, one at a time, except
    `revoked`.
    """

    @property
    def batch_size(self) -> int:
        """How many records are read for one batch, and so how many commands may be in doubt after a
        crash.
        """

    async def own(
        self, owned: PartitionTransactions, offsets: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Take ownership of these partitions in the system too, if it records that; returns those
        that were lost to another process. `offsets`: of each partition's first unfinished record.
        Raises RetryLater.
        """

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `bridge.log.port.Rebalance`: they may belong to another process from now on."""

    def is_doubtful(self, pending: PendingCommand) -> bool:
        """Whether this command may already have taken effect."""

    async def reconcile(self, doubtful: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """The results of these, aligned. None: certainly no effect. OutcomeUnknown: can't be
        determined.
        RetryLater: the system can't be probed now.
        """

    async def verify_successes(self, commands: Sequence[IncomingCommand]) -> list[Exception | None]:
        """Check commands whose receipts say that they succeeded, aligned. None: nothing contradicts
        it.
        OutcomeUnknown: the system, which should have a record of it, has none. RetryLater: the
        system can't be queried now.
        """

    async def execute(
        self, pending: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """Execute the effects in order; the results are aligned. Raises RetryLater while the log is
        unavailable; ConfigurationError and Fenced if the system refuses this process as a whole.
        """
