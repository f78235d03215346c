"""What this process knows about commands that are in progress according to their last receipt in
the log.

If the log becomes unavailable between an effect and its receipt, the command is delivered again:
then this process need not ask the system, and often couldn't.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand
from bridge.connector import Done
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.receipt import Outcome

NOT_STARTED: Final = None
"""The command certainly had no effect through this process."""


class LocalOutcomes:
    """Command -> its result here, valid until another process starts it."""

    def __init__(self, index: ReceiptIndex) -> None:
        self._index = index
        self._outcomes: dict[str, tuple[str, int, ExecutionResult | None]] = {}

    def record(self, pending: PendingCommand, result: ExecutionResult | None) -> None:
        """Keep its result, unless that leaves it undecided."""
        if isinstance(result, OutcomeUnknown):
            self._outcomes.pop(pending.id, None)
            return
        if isinstance(result, (RetryLater, Fenced)):
            result = NOT_STARTED
        generation = self._index.generation(pending.id)
        self._outcomes[pending.id] = pending.digest, generation, result

    def mark_not_started(self, commands: Iterable[PendingCommand]) -> None:
        """Record that these had no effect."""
        for pending in commands:
            self.record(pending, NOT_STARTED)

    def mark_started(self, commands: Iterable[PendingCommand]) -> None:
        """Record that these start now: nothing is known about them until `record`."""
        for pending in commands:
            self._outcomes.pop(pending.id, None)

    def recall(self, pending: PendingCommand) -> tuple[bool, ExecutionResult | None]:
        """Whether its result is certain, and that result."""
        digest, generation, result = self._outcomes.get(pending.id, ("", 0, NOT_STARTED))
        # An effect stays, whichever process started the command since.
        is_current = isinstance(result, Done) or generation == self._index.generation(pending.id)
        return digest == pending.digest and is_current, result

    def forget_receipted(self) -> None:
        """Drop those that now have their receipt."""
        for command_id in list(self._outcomes):
            logged = self._index.logged(command_id)
            if logged is not None and logged.outcome != Outcome.UNKNOWN_OUTCOME:
                del self._outcomes[command_id]
