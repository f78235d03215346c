"""The fixed topics as log entries: framed with the registry's ids, with CloudEvents headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge.log.port import Entry, TopicSpec
from bridge.log.registry_port import Registry
from bridge.log.topic_specs import system_topic_spec
from bridge.model import framing, headers, system_records
from bridge.model.avro_limits import parse_bounded
from bridge.model.canonical import instant_text
from bridge.model.error_text import clean_text, describe_error
from bridge.model.errors import BridgeError, ConfigurationError
from bridge.model.names import system_topic
from bridge.model.system_records import (
    SYSTEM_TOPICS,
    TOPIC_KINDS,
    DeadLetter,
    SystemKey,
    SystemRecord,
    TopicKind,
)
from bridge.single_flight import SingleFlight

COMPATIBILITY = "BACKWARD_TRANSITIVE"
ENTRY_OVERHEAD = 512
"""Bytes reserved for what a log adds to a record."""


class UnreadableRecord(ValueError):
    """A record of a fixed topic that can't be decoded, or encoded, as that topic's type."""


class SystemTopicCodec:
    """Writes and reads records of the fixed topics of one bridge.

    Call `open` first; it needs the registry. `entry` does no I/O; `decode` queries the registry
    once per schema id of another version.
    """

    def __init__(self, registry: Registry, bridge: str) -> None:
        self._registry = registry
        self._bridge = bridge
        self._frames: dict[TopicKind, tuple[bytes, bytes]] = {}
        self._writers: dict[int, Any] = {}
        self._writer_flights: SingleFlight[int, Any] = SingleFlight()

    async def open(self) -> None:
        """Register the schemas. Raises RetryLater or Rejected as the registry does."""
        for kind in TOPIC_KINDS:
            ids = []
            for part, text in zip(("key", "value"), system_records.schema_texts(kind), strict=True):
                subject = f"{self.topic(kind)}-{part}"
                await self._registry.set_compatibility(subject, COMPATIBILITY)
                schema_id = await self._registry.register(subject, text)
                self._writers[schema_id] = parse_bounded(text)
                ids.append(framing.header(schema_id))
            self._frames[kind] = (ids[0], ids[1])

    def topic(self, topic_kind: TopicKind) -> str:
        """The topic for records of this kind."""
        return system_topic(self._bridge, SYSTEM_TOPICS[topic_kind].topic)

    def spec(self, topic_kind: TopicKind) -> TopicSpec:
        """The spec of that topic."""
        return system_topic_spec(self._bridge, SYSTEM_TOPICS[topic_kind].topic)

    def entry(
        self,
        topic_kind: TopicKind,
        key: SystemKey,
        value: SystemRecord,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Entry:
        """The entry to append to `topic(kind)`; `headers` follow the CloudEvents ones.

        Raises UnreadableRecord, and nothing else, for a record that isn't of that kind, or has
        values that can't be encoded.
        """
        key_frame, value_frame = self._frames[topic_kind]
        try:
            return Entry(
                key_frame + system_records.encode_key(topic_kind, key),
                value_frame + system_records.encode(topic_kind, value),
                [*self._headers(topic_kind, value), *headers],
            )
        except Exception as error:
            raise UnreadableRecord(
                f"not to be written as a {topic_kind}: {describe_error(error)}"
            ) from error

    def letter(self, letter: DeadLetter, room: int) -> Entry:
        """The entry of a dead letter, of at most `room` bytes if possible: a value that doesn't fit is
        omitted (it is still in its topic), then texts that nothing depends on, the key last.
        """
        for attempt in (
            letter,
            replace(letter, value=None),
            replace(letter, value=None, raw=None),
            replace(letter, value=None, raw=None, traceback=None),
            replace(letter, value=None, key=None),
            replace(letter, value=None, key=None, raw=None),
            replace(letter, value=None, key=None, raw=None, traceback=None),
        ):
            try:
                entry = self.entry("dead", attempt.source, attempt)
            except UnreadableRecord:
                continue
            if entry_size(entry) <= room:
                return entry
        bare = replace(
            letter,
            source=clean_text(letter.source, 200),
            reason=clean_text(letter.reason),
            position=None,
            event_id=None,
            handler=None,
            error=None,
            raw=None,
            key=None,
            value=None,
            traceback=None,
        )
        return self.entry("dead", bare.source, bare)

    async def decode(self, topic_kind: TopicKind, value: bytes) -> SystemRecord:
        """The record in a framed value.

        Raises UnreadableRecord (a ValueError), and nothing else, if it isn't one, for any bytes and
        any schema; RetryLater while the registry is unavailable.
        """
        try:
            writer = await self._writer(value)
            return system_records.decode(topic_kind, value[framing.HEADER_SIZE :], writer)
        except (UnreadableRecord, BridgeError):
            raise
        except Exception as error:
            raise UnreadableRecord(f"not a {topic_kind}: {describe_error(error)}") from error

    def decode_key(self, topic_kind: TopicKind, key: bytes) -> SystemKey:
        """The key in a framed key: a Target for commands and receipts, text for the others.

        Raises UnreadableRecord as `decode`.
        """
        try:
            framing.schema_id(key)
            return system_records.decode_key(topic_kind, key[framing.HEADER_SIZE :])
        except Exception as error:
            raise UnreadableRecord(
                f"not the key of a {topic_kind}: {describe_error(error)}"
            ) from error

    async def _writer(self, value: bytes) -> Any:
        schema_id = framing.schema_id(value)
        writer = self._writers.get(schema_id)
        if writer is None:
            writer = await self._writer_flights.result(
                schema_id, lambda: self._read_writer(schema_id)
            )
        return writer

    async def _read_writer(self, schema_id: int) -> Any:
        try:
            text = await self._registry.schema(schema_id)
        except KeyError:
            raise UnreadableRecord(f"schema id {schema_id} is not in the registry") from None
        except ConfigurationError as error:
            # The registry's text for this id isn't a schema.
            raise UnreadableRecord(str(error)) from error
        writer = self._writers[schema_id] = parse_bounded(text)
        return writer

    def _headers(self, topic_kind: TopicKind, value: SystemRecord) -> list[tuple[str, bytes]]:
        event_id, at = system_records.cloud_event(value)
        source = f"/{self._bridge}/{SYSTEM_TOPICS[topic_kind].topic}"
        return [
            (headers.SPECVERSION, headers.SPECVERSION_1_0),
            (headers.ID, event_id.encode()),
            (headers.SOURCE, source.encode()),
            (headers.TYPE, f"{self._bridge}.{topic_kind}".encode()),
            (headers.TIME, instant_text(at).encode()),
            (headers.CONTENT_TYPE, headers.AVRO),
        ]


def entry_size(entry: Entry) -> int:
    """The bytes of an entry as a log counts them, with a few for each header's frame."""
    framing = sum(len(name) + len(value or b"") + 8 for name, value in entry.headers)
    return len(entry.key or b"") + len(entry.value or b"") + framing
