"""Decodes change records, and waits while the registry is unavailable."""

from __future__ import annotations

import tenacity

from bridge.agent.pipeline.retry import Sleep
from bridge.log.port import Record
from bridge.model.errors import RetryLater
from bridge.model.event import Event
from bridge.ports.event_decoder import EventDecoder
from bridge.waiting import PartWaiting, failure_of


class RetryDecoding:
    """An EventDecoder that tries again as long as the one behind it raises RetryLater."""

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
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(RetryLater),
            wait=tenacity.wait_random_exponential(0.1, 30),
            sleep=self._sleep,
            before_sleep=lambda state: self._waiting.tried(
                state.attempt_number, failure_of(state), "decode"
            ),
            reraise=True,
        ):
            with attempt:
                event = await self._decoder.decode(record)
                self._waiting.tried(0, "", "decode")
                return event
        raise AssertionError("tenacity ends with a result or an error")
