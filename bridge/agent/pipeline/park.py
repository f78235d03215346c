"""What happens to an event that can't be handled, by the agent's `on_failure`: it is dead-lettered
(`park`, `park_key`), or the agent stops before it (`stop`).
"""

from __future__ import annotations

from bridge.agent.context import key_of_event
from bridge.agent.contract import ParkedKeyRegistry
from bridge.agent.declaration import AgentDeclaration
from bridge.agent.error_trace import handler_trace
from bridge.agent.pipeline.dead_letters import DeadLetterEntries
from bridge.agent.pipeline.delivery import Delivery, EventGivenUp, HandleEvent, OutgoingEntry
from bridge.log.port import Record, TopicPartition
from bridge.model import headers
from bridge.model.error_text import describe_error
from bridge.model.errors import BridgeError
from bridge.observe import HandlerFailed, Observer


class AgentStopped(BridgeError):
    """An agent with `on_failure: stop` met an event that its handler can't handle.

    Nothing of the event was written; the agent resumes with it when it is started again.
    """


class ParkFailures:
    """Dead-letters events that are given up; also parks their keys if `parked_keys` is not None.

    Raises AgentStopped instead for an agent with `on_failure: stop`.
    """

    def __init__(
        self,
        agent: AgentDeclaration,
        parked_keys: ParkedKeyRegistry | None,
        dead_letters: DeadLetterEntries,
        observer: Observer,
        *,
        then: HandleEvent[OutgoingEntry],
    ) -> None:
        self._agent = agent
        self._parked_keys = parked_keys
        self._dead_letters = dead_letters
        self._observer = observer
        self._then = then

    async def __call__(self, delivery: Delivery) -> list[OutgoingEntry]:
        """As HandleEvent, but never raises EventGivenUp."""
        try:
            return await self._then(delivery)
        except EventGivenUp as given_up:
            cause = given_up.__cause__ or given_up
            if self._agent.on_failure == "stop":
                raise self._stopped(delivery, given_up.attempts, cause) from cause
            event, record = delivery.event, delivery.record
            if not event.replayed:
                self._park_key(event.entity, record)
            return [
                self._dead_letters.entry(record, event, delivery.handler, cause, given_up.attempts)
            ]

    def park_record(self, record: Record, error: Exception) -> OutgoingEntry:
        """Dead-letter a record whose handling failed outside of any handler's delivery. Raises
        AgentStopped.
        """
        if self._agent.on_failure == "stop":
            raise AgentStopped(
                f"agent {self._agent.name!r} failed for the event at offset {record.offset} of "
                f"{record.topic}, partition {record.partition} ({describe_error(error)}); fix it "
                "and start the agent again, or let it park such events with on_failure"
            ) from error
        if headers.REPLAY not in dict(record.headers):
            self._park_key(record.topic.partition(".")[2], record)
        return self._dead_letters.entry(record, None, None, error, 1)

    def _park_key(self, entity: str, record: Record) -> None:
        if self._parked_keys is not None:
            partition = TopicPartition(record.topic, record.partition)
            self._parked_keys.add(entity, record.key, partition)

    def _stopped(self, delivery: Delivery, attempts: int, cause: BaseException) -> AgentStopped:
        agent, handler, event = self._agent.name, delivery.handler.name, delivery.event
        self._observer(
            HandlerFailed(
                agent,
                handler,
                event.entity,
                key_of_event(event),
                event.id,
                attempts,
                attempts,
                None,
                describe_error(cause),
                handler_trace(cause),
            )
        )
        return AgentStopped(
            f"agent {agent!r}, handler {handler!r} failed for event {event.id} "
            f"({describe_error(cause)}); fix it and start the agent again, or let it park such "
            "events with on_failure"
        )
