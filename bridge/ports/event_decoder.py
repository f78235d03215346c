"""Change records of the log as events."""

from __future__ import annotations

from typing import Protocol

from bridge.log.port import Record
from bridge.model.event import Event


class EventDecoder(Protocol):
    """Decodes records of change topics. May be called by many tasks at once."""

    async def decode(self, record: Record) -> Event | None:
        """The event, or None for a tombstone.

        Raises RetryLater while the registry is unavailable, ValueError for a record that is not a
        change. May be cancelled.
        """
