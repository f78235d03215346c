"""One record through all handlers of an agent: what has to be written for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import tenacity

from bridge.agent.answer import Answer
from bridge.agent.attempt import Attempts, Failed, Sleep
from bridge.agent.context import key_of_event
from bridge.agent.contract import HoldsKeys
from bridge.agent.declared import DeclaredAgent, Handler
from bridge.agent.error_trace import handler_trace
from bridge.agent.lane import Written
from bridge.log.port import Record, TopicPartition
from bridge.log.system_topics import ENTRY_OVERHEAD, SystemTopicCodec, UnreadableRecord, entry_size
from bridge.model import headers
from bridge.model.error_text import describe_error, error_name
from bridge.model.errors import BridgeError, Rejected, RetryLater
from bridge.model.event import Event
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.system_records import DeadLetter
from bridge.observe import DeadLetterWritten as DeadLetterNotice
from bridge.observe import Handled, HandlerFailed, Observer
from bridge.ports.event_decoder import EventDecoder
from bridge.waiting import PartWaiting, failure_of


class AgentStopped(BridgeError):
    """An agent with `on_failure: stop` met an event that its handler can't handle.

    Nothing of the event was written; the agent begins with it when it is started again.
    """


class Handling:
    """Decodes, asks each handler, and makes entries of the answers."""

    def __init__(
        self,
        agent: DeclaredAgent,
        events: EventDecoder,
        attempts: Attempts,
        codec: SystemTopicCodec,
        parked: HoldsKeys | None,
        *,
        max_record_bytes: int,
        clock: Callable[[], datetime],
        sleep: Sleep,
        observer: Observer,
        waiting: PartWaiting,
    ) -> None:
        self._agent = agent
        self._events = events
        self._attempts = attempts
        self._codec = codec
        self._parked = parked
        self._room = max_record_bytes - ENTRY_OVERHEAD
        self._clock = clock
        self._sleep = sleep
        self._observer = observer
        self._waiting = waiting

    async def handle(self, record: Record, written: list[Written]) -> list[Written]:
        """What is to be written for `record`, which grows in `written` handler by handler. Raises
        AgentStopped.
        """
        written.clear()
        try:
            event = await self._event(record)
        except Exception as error:  # noqa: BLE001 - whatever the record holds, it is its own letter
            return [self._set_aside(record, None, None, error, 1)]
        if event is None:
            return []
        for handler in self._agent.handlers:
            written += await self._through(handler, event, record)
        return written

    def give_up(self, record: Record, written: list[Written], error: Exception) -> list[Written]:
        """What is to be written for a record whose handling broke off by an error that `handle` could
        not catch; `written`: what handlers that were done before had answered. Raises AgentStopped.
        """
        if self._agent.on_failure == "stop":
            raise AgentStopped(
                f"agent {self._agent.name!r} failed for the event at offset {record.offset} of "
                f"{record.topic}, partition {record.partition} ({describe_error(error)}); fix it "
                "and start the agent again, or let it park such events with on_failure"
            ) from error
        if self._parked is not None and headers.REPLAY not in dict(record.headers):
            entity = record.topic.partition(".")[2]
            self._parked.add(entity, record.key, TopicPartition(record.topic, record.partition))
        return [*written, self._set_aside(record, None, None, error, 1)]

    async def _event(self, record: Record) -> Event | None:
        try:
            event = await self._events.decode(record)
        except RetryLater:
            event = await self._event_again(record)
        return None if event is None else _known(event)

    async def _event_again(self, record: Record) -> Event | None:
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
                event = await self._events.decode(record)
                self._waiting.tried(0, "", "decode")
                return event
        raise AssertionError("tenacity ends with a result or an error")

    async def _through(self, handler: Handler, event: Event, record: Record) -> list[Written]:
        try:
            wanted = _wants(handler, event)
            if not wanted:
                return []
            if self._agent.is_echo(handler, event):
                self._observer(
                    Handled(self._agent.name, handler.name, event.entity, "echo", 0.0, 0)
                )
                return []
            if await self._is_parked(event, record):
                held = Rejected(
                    "key_parked",
                    "an earlier event of this key was parked, and the agent's on_failure is "
                    "park_key",
                )
                return [self._set_aside(record, event, handler, held, 0)]
            answers = await self._attempts.handle(handler, event)
            return [self._written(answer, event) for answer in answers]
        except Failed as failed:
            cause = failed.__cause__ or failed
            if self._agent.on_failure == "stop":
                self._observer(
                    HandlerFailed(
                        self._agent.name,
                        handler.name,
                        event.entity,
                        key_of_event(event),
                        event.id,
                        failed.attempts,
                        failed.attempts,
                        None,
                        describe_error(cause),
                        handler_trace(cause),
                    )
                )
                raise AgentStopped(
                    f"agent {self._agent.name!r}, handler {handler.name!r} failed for event "
                    f"{event.id} ({describe_error(cause)}); mend it and start the agent "
                    "again, or let it park such events with on_failure"
                ) from cause
            if self._parked is not None and not event.replayed:
                place = TopicPartition(record.topic, record.partition)
                self._parked.add(event.entity, record.key, place)
            return [self._set_aside(record, event, handler, cause, failed.attempts)]

    async def _is_parked(self, event: Event, record: Record) -> bool:
        if self._parked is None or event.replayed:
            return False
        return await self._parked.holds(event.entity, record.key)

    def _written(self, answer: Answer, event: Event) -> Written:
        more = [(headers.TRACEPARENT, event.traceparent.encode())] if event.traceparent else []
        if event.replayed:
            more.append((headers.REPLAY, event.id.encode()))
        try:
            entry = self._codec.entry("command", answer.target, answer.record, more)
        except UnreadableRecord as error:
            raise Failed(_named(self._agent, answer), 1) from error
        if entry_size(entry) > self._room:
            raise Failed(_named(self._agent, answer), 1) from Rejected(
                "record_too_large",
                f"command {answer.record.name} takes {entry_size(entry)} bytes; the log takes "
                f"{self._room}",
            )
        return Written(self._codec.topic("command"), entry)

    def _set_aside(
        self,
        record: Record,
        event: Event | None,
        handler: Handler | None,
        cause: BaseException,
        attempts: int,
    ) -> Written:
        letter = DeadLetter(
            kind="event",
            source=self._agent.name,
            reason=describe_error(cause),
            at=self._clock(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            position=event.position if event else None,
            event_id=event.id if event else None,
            handler=handler.name if handler else None,
            error=error_name(cause),
            attempts=attempts,
            key=record.key,
            value=record.value,
            # Of what the bridge itself refuses, the sentence says all.
            traceback=(handler_trace(cause) or None) if handler is not None and attempts else None,
        )
        place = f"{record.topic}:{record.partition}:{record.offset}"
        self._observer(
            DeadLetterNotice(
                "event",
                self._agent.name,
                letter.reason,
                handler=letter.handler or "",
                entity=event.entity if event else record.topic.partition(".")[2],
                key=key_of_event(event) if event else "",
                event_id=letter.event_id or "",
                place=place,
                attempts=attempts,
                show=f"bridgectl dead show {letter.event_id or place}",
                traceback=letter.traceback or "",
            )
        )
        return Written(self._codec.topic("dead"), self._codec.letter(letter, self._room))


def _known(event: Event) -> Event:
    """The event with rows that know where they are from."""
    place = Provenance(
        event.entity, "event", event.occurred_at or event.captured_at, event.position
    )
    rows = (
        row if row is None or isinstance(row, TracedRow) else TracedRow(row, place, event.type)
        for row in (event.before, event.after)
    )
    # In place: nobody else has the event yet, and a copy of it costs more than decoding it did.
    for name, row in zip(("before", "after"), rows, strict=True):
        object.__setattr__(event, name, row)
    return event


def _wants(handler: Handler, event: Event) -> bool:
    try:
        return handler.wants(event)
    except Exception as error:
        raise Failed(handler, 1) from error


def _named(agent: DeclaredAgent, answer: Answer) -> Handler:
    return next(one for one in agent.handlers if one.name == answer.record.handler)
