"""Dead letters of events: their entries, and the notice of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bridge.agent.context import key_of_event
from bridge.agent.declaration import EventHandler
from bridge.agent.error_trace import handler_trace
from bridge.agent.pipeline.delivery import OutgoingEntry
from bridge.log.port import Record
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.error_text import describe_error, error_name
from bridge.model.event import Event
from bridge.model.system_records import DeadLetter
from bridge.observe import DeadLetterWritten, Observer


class DeadLetterEntries:
    """Builds the log entries of one agent's dead letters, each of at most `max_entry_bytes`."""

    def __init__(
        self,
        agent: str,
        codec: SystemTopicCodec,
        max_entry_bytes: int,
        clock: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self._agent = agent
        self._codec = codec
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self._observer = observer

    def entry(
        self,
        record: Record,
        event: Event | None,
        handler: EventHandler | None,
        cause: BaseException,
        attempts: int,
    ) -> OutgoingEntry:
        """The entry for `record`; also sends a notice of it.
        `event`: None if it couldn't be decoded.
        `handler`: None if it failed outside of any handler.
        `attempts`: how often the handler was called.
        """
        letter = DeadLetter(
            kind="event",
            source=self._agent,
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
            # For errors of the bridge itself the message is enough.
            traceback=(handler_trace(cause) or None) if handler is not None and attempts else None,
        )
        location = f"{record.topic}:{record.partition}:{record.offset}"
        self._observer(
            DeadLetterWritten(
                "event",
                self._agent,
                letter.reason,
                handler=letter.handler or "",
                entity=event.entity if event else record.topic.partition(".")[2],
                key=key_of_event(event) if event else "",
                event_id=letter.event_id or "",
                location=location,
                attempts=attempts,
                show=f"bridgectl dead show {letter.event_id or location}",
                traceback=letter.traceback or "",
            )
        )
        return OutgoingEntry(
            self._codec.topic("dead"), self._codec.letter(letter, self._max_entry_bytes)
        )
