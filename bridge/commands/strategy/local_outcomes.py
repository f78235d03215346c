"""What this process knows of commands whose last word in the log is that they are in progress.

Between an effect and its receipt the log may go away, and the command is delivered again: then its
own process need not ask what it knows, and often couldn't.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import ExecutionResult, PendingCommand
from bridge.connector import Done
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.receipt import Outcome

NOTHING = None
"""Certainly nothing of it has happened by this process."""


class LocalOutcomes:
    """By command: what came of it here, for as long as nobody else has begun it since."""

    def __init__(self, answered: ReceiptIndex) -> None:
        self._answered = answered
        self._found: dict[str, tuple[str, int, ExecutionResult | None]] = {}

    def learn(self, work: PendingCommand, ending: ExecutionResult | None) -> None:
        """It came to this; an ending that leaves it open says nothing."""
        if isinstance(ending, OutcomeUnknown):
            self._found.pop(work.id, None)
            return
        if isinstance(ending, (RetryLater, Fenced)):
            ending = NOTHING
        turn = self._answered.turn(work.id)
        self._found[work.id] = work.item.command.digest, turn, ending

    def nothing(self, works: Iterable[PendingCommand]) -> None:
        """They were not begun."""
        for work in works:
            self.learn(work, NOTHING)

    def begun(self, works: Iterable[PendingCommand]) -> None:
        """They are begun now: until it is told what came of them nothing is known."""
        for work in works:
            self._found.pop(work.id, None)

    def recall(self, work: PendingCommand) -> tuple[bool, ExecutionResult | None]:
        """Whether it is known what came of it, and what."""
        digest, turn, ending = self._found.get(work.id, ("", 0, NOTHING))
        same = digest == work.item.command.digest
        # What took effect took effect, whoever came upon it since.
        certain = isinstance(ending, Done) or turn == self._answered.turn(work.id)
        return same and certain, ending

    def forget(self) -> None:
        """Those that have their receipt by now."""
        for command_id in list(self._found):
            told = self._answered.told(command_id)
            if told is not None and told.outcome != Outcome.UNKNOWN_OUTCOME:
                del self._found[command_id]
