"""One partition of an agent: its events in flight, and what waits to be written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bridge.agent.in_flight import InFlightEvents
from bridge.agent.pipeline.delivery import OutgoingEntry
from bridge.log.port import Entry, Record, TopicPartition

OFFSETS_EVERY_S = 0.5
"""Seconds between transactions that only move offsets."""


@dataclass(slots=True, eq=False)
class PartitionWork:
    """The work of one assignment of one partition.
    `dropped`: the assignment has ended, and what is in flight is discarded; handlers' threads read
    it.

    `entries`, `upto`: wait for their transaction; `wrote_at`: the time of the last one.
    """

    partition: TopicPartition
    in_flight: InFlightEvents[Record, OutgoingEntry]
    wrote_at: float
    entries: list[OutgoingEntry] = field(default_factory=list)
    upto: int | None = None
    dropped: bool = False
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def gather(self) -> None:
        """Take the results that `InFlightEvents` has finished."""
        taken = self.in_flight.take()
        if taken is not None:
            self.entries.extend(taken[0])
            self.upto = taken[1]

    def due(self, now: float) -> bool:
        """Whether there is something to write now: entries immediately, bare offsets at
        intervals.
        """
        if self.upto is None:
            return False
        return bool(self.entries) or now - self.wrote_at >= OFFSETS_EVERY_S

    def wrote(self, now: float) -> None:
        """The transaction was committed."""
        self.entries, self.upto, self.wrote_at = [], None, now

    def by_topic(self) -> dict[str, list[Entry]]:
        """The waiting entries by topic, each in order."""
        topics: dict[str, list[Entry]] = {}
        for topic, entry in self.entries:
            topics.setdefault(topic, []).append(entry)
        return topics
