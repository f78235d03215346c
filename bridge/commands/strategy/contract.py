"""A command of a batch on its way through the executor, and what may become of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.commands.contract import PartitionTransactions
from bridge.commands.decision.decide import Decision
from bridge.commands.incoming import IncomingCommand
from bridge.commands.receipts.builder import CommandLifecycle
from bridge.commands.receipts.outcome_table import RecordedOutcome
from bridge.connector import Done, Effect
from bridge.model.errors import Rejected


@dataclass(slots=True)
class PendingCommand:
    """One command and its place in the batch. `intended`: its last word in the log is that it may
    have happened. `doubtful`: it may have happened already, so that what was decided counts only
    once the system has said that it has not; `turn` is `Answered.turn` as of then. `denied`: the system
    was asked, and has said so.
    """

    index: int
    item: IncomingCommand
    course: CommandLifecycle
    decision: Decision
    intended: bool = False
    doubtful: bool = False
    turn: int = 0
    denied: bool = False

    @property
    def id(self) -> str:
        """The command's."""
        return self.item.command.id

    @property
    def effect(self) -> Effect | None:
        """What it would do, as far as that can be said."""
        return self.decision.effect


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The system was asked, and it has happened."""

    done: Done


ExecutionResult = Done | Reconciled | RecordedOutcome | Exception
"""What a command that was to be carried out came to: it took effect now (Done) or before
(Reconciled), has its receipt already (Answer), waits (RetryLater, Fenced), may have happened and
nobody can tell (OutcomeUnknown), or was refused (any other error).
"""


class ExecutionStrategy(Protocol):
    """How effects are carried out once each, with a ledger or without."""

    def doubts(self, work: PendingCommand) -> bool:
        """Whether this command may have happened already."""

    async def ask(self, works: Sequence[PendingCommand]) -> list[ExecutionResult | None]:
        """What became of those, aligned; None: certainly nothing. OutcomeUnknown: nobody can tell;
        RetryLater: not now.
        """

    async def prove(self, answered: Sequence[IncomingCommand]) -> list[Exception | None]:
        """Of commands whose receipts say that they took effect, aligned: None where nothing speaks
        against it; OutcomeUnknown: the system, which would know, doesn't; RetryLater: not now.
        """

    async def carry_out(
        self, works: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> list[ExecutionResult]:
        """Their endings, aligned. Raises RetryLater while the log is away."""


def aligned(
    works: Sequence[PendingCommand], outcomes: Sequence[Done | Exception]
) -> Sequence[Done | Exception]:
    """The outcomes, once it is seen that there is one each. Raises Rejected."""
    if len(outcomes) != len(works):
        raise Rejected(
            "connector_error",
            f"the writer answered {len(works)} effects with {len(outcomes)} outcomes",
        )
    return outcomes
