"""Change records as events, whatever schema they were written with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from bridge.log.port import Record
from bridge.log.registry_port import Registry
from bridge.model import framing, headers
from bridge.model.avro import entity_of
from bridge.model.error_text import describe_error
from bridge.model.errors import BridgeError, ConfigurationError
from bridge.model.event import Event
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity
from bridge.plan.lazy_record import Decoder
from bridge.single_flight import SingleFlight


class UnreadableChange(ValueError):
    """A record of a change topic that can't be read as a change."""


class SchemaDecoder(NamedTuple):
    """What one schema id stands for; `topic_suffix` is the end of its entity's topic."""

    entity: Entity
    decoder: Decoder
    topic_suffix: str


class RegistryEventDecoder:
    """Decodes records of change topics; asks the registry once for each schema id."""

    def __init__(self, registry: Registry, entities: Mapping[str, EntitySpec]) -> None:
        self._registry = registry
        self._entities = entities
        self._decoders: dict[int, SchemaDecoder] = {}
        self._flights: SingleFlight[int, SchemaDecoder] = SingleFlight()

    async def decode(self, record: Record) -> Event | None:
        """The event, or None for a tombstone. Raises RetryLater while the registry is unavailable,
        UnreadableChange (a ValueError) for a record that is no change, whatever it is.
        """
        if record.value is None:
            return None
        try:
            schema = await self._decoder(framing.schema_id(record.value))
            return self._event(record, record.value, schema)
        except (UnreadableChange, BridgeError):
            raise
        except Exception as error:
            raise UnreadableChange(f"not a change: {describe_error(error)}") from error

    def _event(self, record: Record, value: bytes, schema: SchemaDecoder) -> Event:
        entity, decoder, suffix = schema
        change = decoder.change(value)
        headers_by_name = dict(record.headers)
        if not record.topic.endswith(suffix) and _holds_changes(record.topic, headers_by_name):
            raise UnreadableChange(
                f"schema id {framing.schema_id(value)} is that of {entity.qualified}, and "
                f"{record.topic} holds another entity: something else wrote the record, or the "
                "registry is another one"
            )
        return Event(
            entity=entity.qualified,
            op=change.op,
            key=decoder.key(record.key or b""),
            before=change.before,
            after=change.after,
            unavailable=tuple(change.unavailable),
            position=change.position,
            transaction=change.transaction,
            occurred_at=change.occurred_at,
            captured_at=change.captured_at,
            id=_text(headers_by_name, headers.ID)
            or headers.event_id(entity.system, change.position),
            type=entity,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            caused_by=_text(headers_by_name, headers.CAUSATION),
            traceparent=_text(headers_by_name, headers.TRACEPARENT),
            replayed=headers.REPLAY in headers_by_name,
        )

    async def _decoder(self, schema_id: int) -> SchemaDecoder:
        decoder = self._decoders.get(schema_id)
        if decoder is None:
            decoder = await self._flights.result(schema_id, lambda: self._read_decoder(schema_id))
        return decoder

    async def _read_decoder(self, schema_id: int) -> SchemaDecoder:
        try:
            text = await self._registry.schema(schema_id)
        except KeyError:
            raise UnreadableChange(f"schema id {schema_id} is not in the registry") from None
        except ConfigurationError as error:
            # What the registry holds under this id is no schema.
            raise UnreadableChange(str(error)) from error
        try:
            entity = _declared(entity_of(json.loads(text)), self._entities)
            decoder = SchemaDecoder(entity, Decoder(text, entity), f".{entity.qualified}")
        except Exception as error:
            why = f"schema id {schema_id} is not that of a change: {describe_error(error)}"
            raise UnreadableChange(why) from error
        self._decoders[schema_id] = decoder
        return decoder


def _holds_changes(topic: str, record_headers: Mapping[str, bytes]) -> bool:
    """Whether a topic holds the changes of one entity only; replays may be sent anywhere."""
    internal = topic.startswith("_") or topic.count(".") != 2
    return not internal and headers.REPLAY not in record_headers


def _declared(entity: Entity, specs: Mapping[str, EntitySpec]) -> Entity:
    """What no schema holds: key order, relations and the version field, as configured."""
    spec = specs.get(entity.qualified)
    if spec is None:
        return entity
    key = spec.key if sorted(spec.key) == sorted(entity.key) else entity.key
    return replace(entity, key=key, relations=spec.relations, version=spec.version)


def _text(headers_by_name: Mapping[str, bytes], name: str) -> str | None:
    value = headers_by_name.get(name)
    return None if value is None else value.decode("utf-8", "replace")
