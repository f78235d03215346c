"""What this process knows of commands whose last receipt in the log says that they are in progress.

Between an effect and its receipt the log may become unavailable, and the command is delivered again:
then this process need not ask the system what it knows itself, and often couldn't.
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
"""Certainly nothing of the command has happened by this process."""


class LocalOutcomes:
    """By command: what became of it here, valid until another process starts it."""

    def __init__(self, index: ReceiptIndex) -> None:
        self._index = index
        self._outcomes: dict[str, tuple[str, int, ExecutionResult | None]] = {}

    def record(self, pending: PendingCommand, result: ExecutionResult | None) -> None:
        """What became of it; a result that leaves it undecided is not kept."""
        if isinstance(result, OutcomeUnknown):
            self._outcomes.pop(pending.id, None)
            return
        if isinstance(result, (RetryLater, Fenced)):
            result = NOT_STARTED
        generation = self._index.generation(pending.id)
        self._outcomes[pending.id] = pending.digest, generation, result

    def mark_not_started(self, commands: Iterable[PendingCommand]) -> None:
        """Nothing of these has happened."""
        for pending in commands:
            self.record(pending, NOT_STARTED)

    def mark_started(self, commands: Iterable[PendingCommand]) -> None:
        """These are started now: nothing is known of them until `record`."""
        for pending in commands:
            self._outcomes.pop(pending.id, None)

    def recall(self, pending: PendingCommand) -> tuple[bool, ExecutionResult | None]:
        """Whether it is certain what became of it, and what."""
        digest, generation, result = self._outcomes.get(pending.id, ("", 0, NOT_STARTED))
        # What took effect took effect, whichever process started it since.
        is_current = isinstance(result, Done) or generation == self._index.generation(pending.id)
        return digest == pending.digest and is_current, result

    def forget_receipted(self) -> None:
        """Drop those that have their receipt by now."""
        for command_id in list(self._outcomes):
            logged = self._index.logged(command_id)
            if logged is not None and logged.outcome != Outcome.UNKNOWN_OUTCOME:
                del self._outcomes[command_id]
