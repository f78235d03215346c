"""Groups of records on their way into the log: one transaction each, filled while another commits.

The reader puts groups; the writer takes everything that is waiting, and again when its transaction
has begun. So a transaction holds what arrived while the previous one ended: few records when little
happens (no waiting), many under load (few transactions), and never more than the limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.capture.barriers.record import BarrierRecord, combine
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.log.port import Entry
from bridge.observe import Notice


@dataclass(slots=True)
class RecordGroup:
    """Records of one log transaction, and what is true once it is committed.

    progress: the checkpoint record that is written with them.
    checkpointed: whether it is. False: only `barrier` is written, at once, and nothing may be
    acknowledged for it.
    barrier: came back after these records; None: none did.
    ack: the source may discard everything up to here; None: nothing new.
    entries: by topic, in order.
    changes, size, dead: how many changes, bytes of values and dead letters.
    newest: commit time of the newest change, in microseconds.
    entities: changes by qualified name.
    notices: reported after the commit.
    """

    progress: CheckpointRecord
    ack: bytes | None = None
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    changes: int = 0
    size: int = 0
    dead: int = 0
    newest: int | None = None
    entities: dict[str, int] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    checkpointed: bool = True
    barrier: BarrierRecord | None = None

    def add(self, topic: str, entries: Sequence[Entry]) -> None:
        """Append records of one topic."""
        if entries:
            self.entries.setdefault(topic, []).extend(entries)

    def count(self, entity: str, changes: int) -> None:
        """Count `changes` more changes of an entity in this group."""
        self.changes += changes
        self.entities[entity] = self.entities.get(entity, 0) + changes

    def merge(self, later: RecordGroup) -> None:
        """Append everything of a later group."""
        self.progress = later.progress
        self.ack = later.ack if later.ack is not None else self.ack
        for topic, entries in later.entries.items():
            self.entries.setdefault(topic, []).extend(entries)
        for entity, changes in later.entities.items():
            self.entities[entity] = self.entities.get(entity, 0) + changes
        self.changes += later.changes
        self.size += later.size
        self.dead += later.dead
        self.newest = later.newest if later.newest is not None else self.newest
        self.notices.extend(later.notices)
        self.checkpointed = self.checkpointed or later.checkpointed
        self.barrier = combine(self.barrier, later.barrier)


class Outbox:
    """At most one group waits while another one is written. One putter, one taker."""

    def __init__(self, changes: int, size: int) -> None:
        self._changes = changes
        self._size = size
        self._waiting: RecordGroup | None = None
        self._put = 0
        self._taken = 0
        self._written = 0
        self._moved = asyncio.Condition()

    @property
    def room(self) -> int:
        """How many more changes the waiting group accepts."""
        return self._changes - (self._waiting.changes if self._waiting else 0)

    async def put(self, group: RecordGroup) -> None:
        """Add a group: merged with the waiting one if both fit, else once that was taken."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._fits(group))
            if self._waiting is None:
                self._waiting = group
            else:
                self._waiting.merge(group)
            self._put += 1
            self._moved.notify_all()

    async def take(self) -> RecordGroup:
        """The waiting group, as soon as there is one. Call `done` when it is written."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._waiting is not None)
            group, self._waiting = self._waiting, None
            assert group is not None, "waited for it"  # noqa: S101
            self._taken = self._put
            self._moved.notify_all()
            return group

    async def join(self, group: RecordGroup) -> None:
        """Add what is waiting to the group taken last, as far as it fits."""
        async with self._moved:
            waiting = self._waiting
            if waiting is not None and self._both_fit(group, waiting):
                group.merge(waiting)
                self._waiting = None
                self._taken = self._put
                self._moved.notify_all()

    async def done(self) -> None:
        """The group that was taken is in the log."""
        async with self._moved:
            self._written = self._taken
            self._moved.notify_all()

    async def flushed(self) -> None:
        """Wait until everything that was put before this call is in the log."""
        async with self._moved:
            upto = self._put
            await self._moved.wait_for(lambda: self._written >= upto)

    @property
    def empty(self) -> bool:
        """Everything that was put is in the log."""
        return self._written == self._put

    def _fits(self, group: RecordGroup) -> bool:
        return self._waiting is None or self._both_fit(self._waiting, group)

    def _both_fit(self, earlier: RecordGroup, later: RecordGroup) -> bool:
        return (
            earlier.changes + later.changes <= self._changes
            and earlier.size + later.size <= self._size
        )
