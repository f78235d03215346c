"""Commands that wait because a person has to give their declaration something: a right, a table.

One that is refused for want of a right holds back the commands of its declaration, and what comes
behind them of their keys; all others go on. Every now and then a few of them are tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from bridge.commands.contract import elapsed
from bridge.commands.incoming import IncomingCommand
from bridge.log.port import TopicPartition

TRY_AGAIN_S = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds to the next try of a declaration, from its first refusal on."""

TRIED_TOGETHER = 3
"""Of so many keys one command each is tried: where the first is refused for its own row, and not for
want of a right, another one shows it.
"""


@dataclass(slots=True)
class HeldDeclaration:
    """Why the commands of one declaration are held back, and when some are tried again."""

    reason: str
    failures: int
    due_at: float


@dataclass(slots=True)
class DueCommands:
    """What to take up now, in order; `free` are the ids of those that may start."""

    items: list[IncomingCommand] = field(default_factory=list)
    free: set[str] = field(default_factory=set)


class HeldCommands:
    """The held commands of this process's partitions, each key's in the order of the log.
    `monotonic` in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = elapsed) -> None:
        self._monotonic = monotonic
        self._queues: dict[bytes | None, dict[str, IncomingCommand]] = {}
        self._declarations: dict[str, HeldDeclaration] = {}
        self._effects: Counter[str] = Counter()
        self._effects_at_refusal: dict[str, int] = {}
        self._turn = 0

    def __iter__(self) -> Iterator[IncomingCommand]:
        return (item for queue in self._queues.values() for item in queue.values())

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def declarations(self) -> dict[str, HeldDeclaration]:
        """By command name."""
        return self._declarations

    def add(self, item: IncomingCommand) -> None:
        """It stands in the log as held."""
        self._queues.setdefault(item.key, {}).setdefault(item.command.id, item)

    def remove(self, item: IncomingCommand) -> None:
        """It isn't held any more."""
        queue = self._queues.get(item.key, {})
        queue.pop(item.command.id, None)
        self._effects_at_refusal.pop(item.command.id, None)
        if not queue:
            self._queues.pop(item.key, None)

    def keep(self, places: Iterable[TopicPartition]) -> None:
        """Let go of the commands of all other partitions."""
        kept = set(places)
        for item in list(self):
            if item.place not in kept:
                self.remove(item)

    def why(self, item: IncomingCommand) -> str:
        """Why this command may not start; empty where it may."""
        declaration = self._declarations.get(item.command.name)
        if declaration is not None:
            return declaration.reason
        first = next(iter(self._queues.get(item.key, ())), item.command.id)
        return "" if first == item.command.id else behind(first)

    def took_effect(self, name: str) -> None:
        """A command of this declaration had what it needs."""
        self._effects[name] += 1

    def is_refused_itself(self, item: IncomingCommand) -> bool:
        """To be asked at each refusal of a command: whether it is for its own row, since another one
        of its declaration took effect after it was refused before. Once proves nothing: the right may
        have been given or taken away between two effects of one batch.
        """
        effects = self._effects[item.command.name]
        return self._effects_at_refusal.setdefault(item.command.id, effects) < effects

    def refuse(self, name: str, reason: str) -> None:
        """A try of this declaration was refused."""
        failures = self._declarations[name].failures + 1 if name in self._declarations else 1
        wait = TRY_AGAIN_S[min(failures, len(TRY_AGAIN_S)) - 1]
        self._declarations[name] = HeldDeclaration(reason, failures, self._monotonic() + wait)

    def postpone(self, name: str) -> None:
        """A try of this declaration could not be made; the reason is another one."""
        if name in self._declarations:
            self.refuse(name, self._declarations[name].reason)

    def lift(self, name: str) -> None:
        """What was missing is there."""
        self._declarations.pop(name, None)

    def due(self, now: datetime, limit: int) -> DueCommands:
        """Those whose deadline is over; those that nothing holds any more, with what waits behind
        them; and of each declaration whose time has come a few.
        """
        due = DueCommands()
        tried: dict[str, int] = {}
        self._turn += 1
        queues = list(self._queues.values())
        at = self._turn * TRIED_TOGETHER % len(queues) if queues else 0
        # The newest one first: it may be the first that isn't refused for its own row.
        for queue in {id(q): q for q in [*queues[-1:], *queues[at:], *queues[:at]]}.values():
            if len(due.items) >= limit:
                break
            head = next(iter(queue.values())).command.name
            free = self._may_start(head, tried)
            for item in queue.values():
                free = free and (item.command.name == head or self._is_free(item.command.name))
                late = item.command.deadline is not None and now > item.command.deadline
                if free or late:
                    due.items.append(item)
                    if free:
                        due.free.add(item.command.id)
        for name in tried:
            # Whatever comes of it: not again at once.
            self._declarations[name].due_at = self._monotonic() + TRY_AGAIN_S[0]
        return due

    def _is_free(self, name: str) -> bool:
        return name not in self._declarations

    def _may_start(self, name: str, tried: dict[str, int]) -> bool:
        declaration = self._declarations.get(name)
        if declaration is None:
            return True
        if declaration.due_at > self._monotonic() or tried.get(name, 0) >= TRIED_TOGETHER:
            return False
        tried[name] = tried.get(name, 0) + 1
        return True


def behind(command_id: str) -> str:
    """Why a command waits whose own declaration lacks nothing."""
    return f"it waits behind {command_id}, an earlier command of the same row"
