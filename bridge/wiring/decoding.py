"""What a record of the log is: an event, a record of a fixed topic, or anything else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from bridge.log.follow_topics import partitions_of, read_by_time
from bridge.log.port import Record
from bridge.log.start_offsets import LogStart, resolve_offsets
from bridge.model import framing
from bridge.model.error_text import error_message
from bridge.model.event import Event
from bridge.model.names import system_topic
from bridge.model.system_records import SYSTEM_TOPICS, SystemKey, SystemRecord, TopicKind
from bridge.wiring import Bridge


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """A record and its content: exactly one of `event` and `fixed`, or neither, and then why where
    something was expected to.
    """

    record: Record
    event: Event | None = None
    kind: TopicKind | None = None
    key: SystemKey = ""
    fixed: SystemRecord | None = None
    unreadable: str = ""

    @property
    def tombstone(self) -> bool:
        """Whether it only says that its key is gone."""
        return self.record.value is None


class Decoding:
    """Decodes records of any topic of a bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._kinds: dict[str, TopicKind] = {
            system_topic(bridge.name, fixed.topic): kind for kind, fixed in SYSTEM_TOPICS.items()
        }

    async def decode(self, record: Record) -> DecodedRecord:
        """The content of `record`. Raises RetryLater while the registry is unavailable."""
        if record.value is None or not _framed(record.value):
            return DecodedRecord(record)
        kind = self._kinds.get(record.topic)
        try:
            if kind is not None:
                value = await self._bridge.codec.decode(kind, record.value)
                key = self._bridge.codec.decode_key(kind, record.key or b"")
                return DecodedRecord(record, kind=kind, key=key, fixed=value)
            event = await self._bridge.events.decode(record)
        except ValueError as error:
            # Somebody else's record: shown as it is.
            return DecodedRecord(record, unreadable=error_message(error))
        return DecodedRecord(record, event=event)


def _framed(value: bytes) -> bool:
    return len(value) >= framing.HEADER_SIZE and value[0] == framing.MAGIC


async def system_topic_history(
    bridge: Bridge, names: Sequence[str], start: LogStart
) -> AsyncGenerator[DecodedRecord, None]:
    """Every record of these fixed topics from `start` up to what is the end now; a topic that
    isn't there yet has none.
    """
    existing_topics = await bridge.log.topics()
    topics = [
        topic for name in names if (topic := system_topic(bridge.name, name)) in existing_topics
    ]
    places = await resolve_offsets(bridge.log, await partitions_of(bridge.log, topics), start)
    decoding = Decoding(bridge)
    async with contextlib.aclosing(read_by_time(bridge.log, places)) as batches:
        async for batch in batches:
            for record in batch:
                yield await decoding.decode(record)
