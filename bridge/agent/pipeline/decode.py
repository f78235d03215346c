"""Decodes change records, and waits while the registry is unavailable."""

from __future__ import annotations

from bridge.agent.pipeline.retry import Sleep
from bridge.log.port import Record
from bridge.model.errors import RetryLater
from bridge.model.event import Event
from bridge.ports.event_decoder import EventDecoder
from bridge.retry import RetryPolicy, retry
from bridge.waiting import PartWaiting


class RetryDecoding:
    """An EventDecoder that tries again as long as the one it wraps raises RetryLater."""

    def __init__(self, decoder: EventDecoder, waiting: PartWaiting, sleep: Sleep) -> None:
        self._decoder = decoder
        self._waiting = waiting
        self._sleep = sleep

    async def decode(self, record: Record) -> Event | None:
        """As EventDecoder, without RetryLater."""
        try:
            return await self._decoder.decode(record)
        except RetryLater:
            return await self._again(record)

    async def _again(self, record: Record) -> Event | None:
        event = await retry(
            lambda: self._decoder.decode(record),
            RetryPolicy(max_wait_s=30.0),
            report=lambda failures, reason: self._waiting.tried(failures, reason, "decode"),
            sleep=self._sleep,
        )
        self._waiting.tried(0, "", "decode")
        return event
