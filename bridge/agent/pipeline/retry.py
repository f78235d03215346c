"""Retries: decoding while the registry is unavailable, handling until it succeeds or is given
up.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from bridge.agent.context import key_of_event
from bridge.agent.declaration import AgentDeclaration
from bridge.agent.error_trace import handler_trace
from bridge.agent.handler_waiting import HandlerWaiting
from bridge.agent.pipeline.delivery import Delivery, EventGivenUp, HandleEvent
from bridge.agent.retry_policy import (
    UNAVAILABLE_BACKOFF,
    Backoff,
    Random,
    is_final_failure,
    wait_after_failure,
    wait_while_unavailable,
)
from bridge.agent.sealing import SealedCommand
from bridge.log.port import Record
from bridge.model.error_text import describe_error
from bridge.model.errors import RetryLater
from bridge.model.event import Event
from bridge.observe import HandlerFailed, Observer
from bridge.ports.event_decoder import EventDecoder
from bridge.retry import RetryPolicy, retry
from bridge.waiting import PartWaiting

Sleep = Callable[[float], Awaitable[None]]


class Retry:
    """Retries with back-off. While something that the handler needs is unavailable (RetryLater)
    there is no limit, because nothing is wrong with the event; it is given up after
    `agent.attempts` other errors, or after one that a retry can't change.

    `sleep`: how to wait while something is unavailable.
    `rest`: how to wait after a failure of the handler; the place in the concurrency limit may be given away.
    `backoff`: the waits of both kinds (None: as the agent declares, and `UNAVAILABLE_BACKOFF`).
    """

    def __init__(
        self,
        agent: AgentDeclaration,
        waiting: HandlerWaiting,
        observer: Observer,
        *,
        sleep: Sleep,
        rest: Sleep,
        backoff: Backoff | None = None,
        chance: Random = random.random,
        then: HandleEvent[SealedCommand],
    ) -> None:
        self._agent = agent
        self._waiting = waiting
        self._observer = observer
        self._sleep = sleep
        self._rest = rest
        self._backoff = backoff or Backoff(agent.first_wait_s, agent.longest_wait_s)
        self._away = backoff or UNAVAILABLE_BACKOFF
        self._chance = chance
        self._then = then

    async def __call__(self, delivery: Delivery) -> list[SealedCommand]:
        """As HandleEvent."""
        try:
            return await self._then(delivery)
        except Exception as error:  # noqa: BLE001 - counted as the first of its tries
            first = error
        # Outside of the `except`: otherwise errors of later tries would have the first one as their
        # context.
        return await self._again(delivery, first)

    async def _again(self, delivery: Delivery, error: Exception) -> list[SealedCommand]:
        """Retry after a first try that failed. A function of its own, because most tries don't
        fail.
        """
        away = 0
        is_waiting = False
        handler = delivery.handler.name
        try:
            while True:
                if isinstance(error, RetryLater):
                    away += 1
                    if not is_waiting:
                        is_waiting = True
                        self._waiting.begin(handler)
                    self._waiting.failed(handler, error, away)
                    await self._sleep(wait_while_unavailable(self._away, error, away, self._chance))
                else:
                    away = 0
                    delivery.faults += 1
                    if is_final_failure(error, delivery.faults, self._agent.attempts):
                        raise EventGivenUp(delivery.handler, delivery.faults) from error
                    wait_s = wait_after_failure(self._backoff, delivery.faults, self._chance)
                    self._notice(delivery, error, wait_s)
                    await self._rest(wait_s)
                try:
                    return await self._then(delivery)
                except Exception as failure:  # noqa: BLE001 - counted as the first one was
                    error = failure
        finally:
            if is_waiting:
                self._waiting.end(handler)

    def _notice(self, delivery: Delivery, error: Exception, wait_s: float) -> None:
        event = delivery.event
        self._observer(
            HandlerFailed(
                self._agent.name,
                delivery.handler.name,
                event.entity,
                key_of_event(event),
                event.id,
                delivery.faults,
                self._agent.attempts,
                round(wait_s, 1),
                describe_error(error),
                handler_trace(error),
            )
        )


class RetryDecoding:
    """An EventDecoder that retries as long as the wrapped one raises RetryLater."""

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
