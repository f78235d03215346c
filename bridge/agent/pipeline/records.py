"""Passes one change record through all handlers of an agent and collects the entries to write for
it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.agent.declaration import EventHandler
from bridge.agent.pipeline.dead_letters import DeadLetterEntries
from bridge.agent.pipeline.delivery import Delivery, OutgoingEntry
from bridge.agent.pipeline.park import ParkFailures
from bridge.log.port import Record
from bridge.model.event import Event
from bridge.model.provenance import Provenance, TracedRow
from bridge.ports.event_decoder import EventDecoder


class RecordHandling:
    """Decodes a record and delivers its event to each handler, one after the other."""

    def __init__(
        self,
        handlers: Sequence[EventHandler],
        decoder: EventDecoder,
        dead_letters: DeadLetterEntries,
        pipeline: ParkFailures,
    ) -> None:
        self._handlers = handlers
        self._decoder = decoder
        self._dead_letters = dead_letters
        self._pipeline = pipeline

    async def handle(self, record: Record, entries: list[OutgoingEntry]) -> list[OutgoingEntry]:
        """Append to `entries` what to write for `record`, handler by handler, and return it. If
        this is interrupted, `entries` holds the results of the handlers that were done. Raises
        AgentStopped.
        """
        entries.clear()
        try:
            event = await self._decoder.decode(record)
            if event is None:
                return []
            _add_provenance(event)
        except Exception as error:  # noqa: BLE001 - whatever the record holds, it is its own letter
            return [self._dead_letters.entry(record, None, None, error, 1)]
        for handler in self._handlers:
            entries += await self._pipeline(Delivery(event, handler, record))
        return entries

    def give_up(
        self, record: Record, entries: list[OutgoingEntry], error: Exception
    ) -> list[OutgoingEntry]:
        """What to write for a record whose `handle` was ended by an error that it couldn't catch;
        `entries`: as `handle` left them. Raises AgentStopped.
        """
        letter = self._pipeline.park_record(record, error)
        return [*entries, letter]


def _add_provenance(event: Event) -> None:
    """Record the origin of the event's rows in them."""
    provenance = Provenance(
        event.entity, "event", event.occurred_at or event.captured_at, event.position
    )
    # In place: nothing else holds the event yet, and copying it would cost more than decoding it
    # did.
    for name, row in (("before", event.before), ("after", event.after)):
        if row is not None and not isinstance(row, TracedRow):
            object.__setattr__(event, name, TracedRow(row, provenance, event.type))
