"""What replays need from the rest, and what takes the events that were picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from bridge.log.port import Record, TopicPartition
from bridge.model.event import Event
from bridge.replay.select import Selection


class SelectedRecord(NamedTuple):
    """A selected record; `event` is None for a tombstone."""

    record: Record
    event: Event | None


class ResumePoint(NamedTuple):
    """What a run begins with: the offsets at which an earlier one stopped (none: a new replay), and
    the selection with the beginning of that one.
    """

    offsets: Mapping[TopicPartition, int]
    selection: Selection


class Sink(Protocol):
    """Where replayed events go. `open`, then `take` repeatedly, `finish` where all went well,
    then `close`.
    """

    @property
    def tombstones(self) -> bool:
        """Whether tombstones are wanted too."""

    async def open(self, selection: Selection) -> ResumePoint:
        """Where an earlier run of the same replay stopped. Raises Rejected (`other_selection`)
        where that one was of other events.
        """

    async def take(
        self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
    ) -> None:
        """Take these, and remember that everything before `upto` is through."""

    async def finish(self) -> None:
        """All that was selected has been taken."""

    async def close(self) -> None: ...
