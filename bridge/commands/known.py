"""What this process knows of commands whose last word in the log is that they are in progress.

Between an effect and its receipt the log may go away, and the command is delivered again: then its
own process need not ask what it knows, and often couldn't.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.commands.answered import Answered
from bridge.commands.work import Ending, Work
from bridge.connector import Done
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.receipt import Outcome

NOTHING = None
"""Certainly nothing of it has happened by this process."""


class Known:
    """By command: what came of it here, for as long as nobody else has begun it since."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._found: dict[str, tuple[str, int, Ending | None]] = {}

    def learn(self, work: Work, ending: Ending | None) -> None:
        """It came to this; an ending that leaves it open says nothing."""
        if isinstance(ending, OutcomeUnknown):
            self._found.pop(work.id, None)
            return
        if isinstance(ending, (RetryLater, Fenced)):
            ending = NOTHING
        turn = self._answered.turn(work.id)
        self._found[work.id] = work.item.command.digest, turn, ending

    def nothing(self, works: Iterable[Work]) -> None:
        """They were not begun."""
        for work in works:
            self.learn(work, NOTHING)

    def begun(self, works: Iterable[Work]) -> None:
        """They are begun now: until it is told what came of them nothing is known."""
        for work in works:
            self._found.pop(work.id, None)

    def recall(self, work: Work) -> tuple[bool, Ending | None]:
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
