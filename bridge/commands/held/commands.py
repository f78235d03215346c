"""Commands that wait for something a person has to provide for their declaration: a permission, a
table.

A command that is refused for a missing permission holds back the commands of its declaration, and
later ones of the same keys; all others continue. A few of them are retried at intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from bridge.commands.boot_clock import elapsed
from bridge.commands.incoming import IncomingCommand
from bridge.log.port import TopicPartition

RETRY_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds to the next try of a declaration, by consecutive refusal."""

KEYS_PER_TRY = 3
"""One command of each of this many keys is tried: if the first is refused because of its own row,
not for a missing permission, another one shows that.
"""


@dataclass(slots=True)
class HeldDeclaration:
    """Why the commands of one declaration are held back, and when some are retried."""

    reason: str
    failures: int
    due_at: float


@dataclass(slots=True)
class DueCommands:
    """The held commands to try now, in order, and the ids of those that may start."""

    commands: list[IncomingCommand] = field(default_factory=list)
    startable_ids: set[str] = field(default_factory=set)


class HeldCommands:
    """The held commands of this process's partitions, those of each key in the order of the log.
    monotonic: a clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = elapsed) -> None:
        self._monotonic = monotonic
        self._queues: dict[bytes | None, dict[str, IncomingCommand]] = {}
        self._declarations: dict[str, HeldDeclaration] = {}
        self._effects: Counter[str] = Counter()
        self._effects_at_refusal: dict[str, int] = {}
        self._round = 0

    def __iter__(self) -> Iterator[IncomingCommand]:
        return (incoming for queue in self._queues.values() for incoming in queue.values())

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def declarations(self) -> dict[str, HeldDeclaration]:
        """By command name."""
        return self._declarations

    def add(self, incoming: IncomingCommand) -> None:
        """Add a command that the log records as held."""
        self._queues.setdefault(incoming.key, {}).setdefault(incoming.command.id, incoming)

    def remove(self, incoming: IncomingCommand) -> None:
        """Remove a command that is no longer held."""
        queue = self._queues.get(incoming.key, {})
        queue.pop(incoming.command.id, None)
        self._effects_at_refusal.pop(incoming.command.id, None)
        if not queue:
            self._queues.pop(incoming.key, None)

    def keep(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop the commands of all other partitions."""
        owned = set(partitions)
        for incoming in list(self):
            if incoming.partition not in owned:
                self.remove(incoming)

    def reason(self, incoming: IncomingCommand) -> str:
        """Why this command may not start; empty if it may."""
        declaration = self._declarations.get(incoming.command.name)
        if declaration is not None:
            return declaration.reason
        first = next(iter(self._queues.get(incoming.key, ())), incoming.command.id)
        return "" if first == incoming.command.id else waits_after(first)

    def note_effect(self, name: str) -> None:
        """A command of this declaration has taken effect."""
        self._effects[name] += 1

    def is_refused_itself(self, incoming: IncomingCommand) -> bool:
        """Call it at each refusal of a command. Whether it is refused because of its own row, shown
        by another command of its declaration that took effect after its previous refusal. A first
        refusal proves
        nothing: the permission may have been granted or revoked between two effects of one batch.
        """
        effects = self._effects[incoming.command.name]
        return self._effects_at_refusal.setdefault(incoming.command.id, effects) < effects

    def refuse(self, name: str, reason: str) -> None:
        """A try of this declaration was refused."""
        failures = self._declarations[name].failures + 1 if name in self._declarations else 1
        wait = RETRY_PAUSES_S[min(failures, len(RETRY_PAUSES_S)) - 1]
        self._declarations[name] = HeldDeclaration(reason, failures, self._monotonic() + wait)

    def postpone(self, name: str) -> None:
        """A try of this declaration failed for an unrelated reason."""
        if name in self._declarations:
            self.refuse(name, self._declarations[name].reason)

    def lift(self, name: str) -> None:
        """What was missing has been provided."""
        self._declarations.pop(name, None)

    def due(self, now: datetime, limit: int) -> DueCommands:
        """Commands whose deadline has passed; those no longer held back, with the ones that wait
        after them; and a few of each declaration whose next try is due.
        """
        due = DueCommands()
        tries: dict[str, int] = {}
        self._round += 1
        queues = list(self._queues.values())
        at = self._round * KEYS_PER_TRY % len(queues) if queues else 0
        # The newest one first: it may be the first that isn't refused because of its own row.
        for queue in {id(q): q for q in [*queues[-1:], *queues[at:], *queues[:at]]}.values():
            if len(due.commands) >= limit:
                break
            head = next(iter(queue.values())).command.name
            startable = self._may_start(head, tries)
            for incoming in queue.values():
                startable = startable and (
                    incoming.command.name == head or self._is_released(incoming.command.name)
                )
                late = incoming.command.deadline is not None and now > incoming.command.deadline
                if startable or late:
                    due.commands.append(incoming)
                    if startable:
                        due.startable_ids.add(incoming.command.id)
        for name in tries:
            # Whatever the result, not again at once.
            self._declarations[name].due_at = self._monotonic() + RETRY_PAUSES_S[0]
        return due

    def _is_released(self, name: str) -> bool:
        return name not in self._declarations

    def _may_start(self, name: str, tries: dict[str, int]) -> bool:
        declaration = self._declarations.get(name)
        if declaration is None:
            return True
        if declaration.due_at > self._monotonic() or tries.get(name, 0) >= KEYS_PER_TRY:
            return False
        tries[name] = tries.get(name, 0) + 1
        return True


def waits_after(command_id: str) -> str:
    """Why a command waits although nothing is missing for its own declaration."""
    return f"it waits for {command_id}, an earlier command of the same row"
