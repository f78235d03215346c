"""Groups the changes of several partitions into the source transactions that made them. Pure.

An order, its lines and its customer, written in one transaction of the source, are in several topics
and arrive one after the other. They are handed out together once it is certain that all of them have
arrived: when the follower has passed a barrier.
"""

from __future__ import annotations

import heapq
from typing import Final, Generic, NamedTuple, TypeVar

COMMIT_WIDTH: Final = 4 + 1 + 16
"""The characters of a position's text that are the same in all changes of a source transaction: epoch
and commit.
"""

T = TypeVar("T")


class WholeTransaction(NamedTuple, Generic[T]):
    """Changes that were committed together.

    commit: epoch and commit of their positions (`bridge.model.position`), as text
    changes: in the order of their positions
    late: an earlier release already counted its commit as complete, as with rows of a snapshot and
        records that are read again
    """

    commit: str
    changes: tuple[T, ...]
    late: bool


class TransactionGrouping(Generic[T]):
    """Changes of one system that wait for the rest of their transactions. Used by one task.

    Holds what was added and not released: release with each barrier. Call `clear` when the follower
    has to doubt a partition or the epoch changes: the rest of a transaction may never come.
    """

    def __init__(self) -> None:
        self._changes: dict[str, list[tuple[str, int, T]]] = {}
        self._commits: list[str] = []
        self._added = 0
        self._waiting = 0
        self._complete = ""

    @property
    def waiting(self) -> int:
        """How many changes are held."""
        return self._waiting

    def add(self, position: str, change: T) -> None:
        """A change that has arrived, in any order; those of equal position keep theirs.

        position: of the change, as text
        """
        commit = position[:COMMIT_WIDTH]
        changes = self._changes.get(commit)
        if changes is None:
            changes = self._changes[commit] = []
            heapq.heappush(self._commits, commit)
        self._added += 1
        self._waiting += 1
        changes.append((position, self._added, change))

    def release(self, position: str, *, ends_here: bool = False) -> list[WholeTransaction[T]]:
        """All whole transactions, in the order of their commits; each change is handed out once.

        position: everything up to it has arrived: that of a barrier's checkpoint, once the follower
            has passed the barrier
        ends_here: whether `position` is the end of its transaction. Otherwise the transaction of its
            commit waits: one source transaction may be written to the log in several parts.
        """
        # "~" is greater than any hexadecimal digit, so all of the commit is before it.
        limit = position[:COMMIT_WIDTH] + ("~" if ends_here else "")
        before, self._complete = self._complete, max(self._complete, limit)
        whole: list[WholeTransaction[T]] = []
        while self._commits and self._commits[0] < limit:
            commit = heapq.heappop(self._commits)
            changes = sorted(self._changes.pop(commit), key=lambda change: change[:2])
            self._waiting -= len(changes)
            whole.append(
                WholeTransaction(commit, tuple(each for _, _, each in changes), commit < before)
            )
        return whole

    def clear(self) -> None:
        """Forget what waits and what was released."""
        self._changes.clear()
        self._commits.clear()
        self._waiting = 0
        self._complete = ""
