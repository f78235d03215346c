"""What replays need from the rest, and what takes the events that were picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from bridge.log.port import Record, TopicPartition
from bridge.model.event import Event


class Events(Protocol):
    """Makes events out of change records."""

    async def event(self, record: Record) -> Event | None:
        """The event, or None for a tombstone. Raises RetryLater, or ValueError for no change."""


class Picked(NamedTuple):
    """A selected record; `event` is None for a tombstone."""

    record: Record
    event: Event | None


class Sink(Protocol):
    """Where replayed events go. `open`, then `take` again and again, then `close`."""

    @property
    def tombstones(self) -> bool:
        """Whether tombstones are wanted too."""

    async def open(self) -> Mapping[TopicPartition, int]:
        """Where an earlier run of the same replay stopped; empty for a new one."""

    async def take(self, picked: Sequence[Picked], upto: Mapping[TopicPartition, int]) -> None:
        """Take these, and remember that everything before `upto` is through."""

    async def close(self) -> None: ...
