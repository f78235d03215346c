"""Sealed commands as entries of the commands topic."""

from __future__ import annotations

from bridge.agent.pipeline.delivery import Delivery, EventGivenUp, HandleEvent, OutgoingEntry
from bridge.agent.sealing import SealedCommand
from bridge.log.system_topics import SystemTopicCodec, UnreadableRecord, entry_size
from bridge.model import headers
from bridge.model.errors import Rejected
from bridge.model.event import Event


class EncodeCommands:
    """Encodes the commands of a handler; raises EventGivenUp if one can't be written."""

    def __init__(
        self, codec: SystemTopicCodec, max_entry_bytes: int, *, then: HandleEvent[SealedCommand]
    ) -> None:
        self._codec = codec
        self._max_entry_bytes = max_entry_bytes
        self._then = then

    async def __call__(self, delivery: Delivery) -> list[OutgoingEntry]:
        """As HandleEvent."""
        commands = await self._then(delivery)
        return [self._encode(command, delivery) for command in commands] if commands else []

    def _encode(self, command: SealedCommand, delivery: Delivery) -> OutgoingEntry:
        try:
            entry = self._codec.entry(
                "command", command.target, command.record, _headers_of(delivery.event)
            )
        except UnreadableRecord as error:
            raise EventGivenUp(delivery.handler, 1) from error
        size = entry_size(entry)
        if size > self._max_entry_bytes:
            raise EventGivenUp(delivery.handler, 1) from Rejected(
                "record_too_large",
                f"command {command.record.name} takes {size} bytes; the log accepts "
                f"{self._max_entry_bytes}",
            )
        return OutgoingEntry(self._codec.topic("command"), entry)


def _headers_of(event: Event) -> list[tuple[str, bytes]]:
    """The headers that a command's record inherits from its event."""
    pairs = [(headers.TRACEPARENT, event.traceparent.encode())] if event.traceparent else []
    if event.replayed:
        pairs.append((headers.REPLAY, event.id.encode()))
    return pairs
