"""One captured entity: its current type and schemas, and an encoder for each shape."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.capture.snapshot.windows import KeyChange
from bridge.connector import Change, Shape
from bridge.log.port import Entry
from bridge.log.registry_port import RegisteredSchema, Registry
from bridge.model.avro import Schema, change_schema, entity_of, key_schema, row_schema, schema_text
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RowError
from bridge.model.names import change_topic
from bridge.model.schema_compatibility import KEY_SUFFIX, incompatibilities
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.failed_row import FailedRow, cells_of
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import Plan, Wire

COMPATIBILITY = "BACKWARD_TRANSITIVE"
_UNAVAILABLE_FORM = -2
#: Executors of older shapes are kept while the stream may still have rows of them.
MAX_KEPT_ENCODERS = 4


class Incompatible(BridgeError):
    """The table's new shape is incompatible with the entity's topic. Only that entity is paused."""


@dataclass(frozen=True, slots=True)
class EventTarget:
    """Where an entity's events go: what an encoder needs besides its plan."""

    bridge: str
    partitions: int
    max_record_bytes: int
    mask_key: bytes | None


class CapturedEntity:
    """An entity of the source. Call `open` first, then `adapt` before rows of each shape.

    `foreign`: set if other schemas are registered under its subjects: why it can't be captured.
    """

    def __init__(self, spec: EntitySpec, target: EventTarget, registry: Registry) -> None:
        self.spec = spec
        self.topic = change_topic(target.bridge, spec.system, spec.name)
        self.type: Entity | None = None
        self.foreign = ""
        self._value_schema = 0
        self.partitions = target.partitions
        self._key_schema = 0
        self._target = target
        self._registry = registry
        self._encoders: dict[Shape, RowEncoder] = {}

    async def open(self) -> None:
        """Read the entity's type from the registry, or find that other schemas are registered under
        its subjects.
        """
        self.foreign = ""
        value = await self._registry.latest(f"{self.topic}-value")
        key = await self._registry.latest(f"{self.topic}-key")
        if value is None or key is None:
            return
        try:
            self.type = stored_type(self.spec.qualified, self.topic, key, value)
        except ConfigurationError as error:
            self.foreign = str(error)
            return
        self._value_schema, self._key_schema = value.id, key.id

    def encoder(self, shape: Shape) -> RowEncoder | None:
        """The encoder for rows of this shape, once `adapt` has made it."""
        return self._encoders.get(shape)

    async def adapt(self, shape: Shape) -> RowEncoder:
        """Prepare for rows of a new shape.

        A dropped column stays a field, which is null. Raises Incompatible, which says why and what
        to do.
        """
        if self.foreign:
            # It may have been corrected since.
            await self.open()
        if self.foreign:
            raise Incompatible(self.foreign)
        try:
            entity = entity_type(self.spec, shape, self.type)
            plan = make_plan(self.spec, entity, shape)
        except ConfigurationError as error:
            if self.type is None:
                raise
            raise Incompatible(str(error)) from error
        if self.type is None:
            self._encoder(plan)  # a shape that can't be encoded must register no schema
        if self.type is None or _schemas(entity) != _schemas(self.type):
            await self._register(entity)
        self.type = entity
        encoder = self._encoder(plan)
        while len(self._encoders) >= MAX_KEPT_ENCODERS:
            del self._encoders[next(iter(self._encoders))]
        self._encoders[shape] = encoder
        return encoder

    def _encoder(self, plan: Plan) -> RowEncoder:
        return RowEncoder(
            plan,
            self._target.bridge,
            self._key_schema,
            self._value_schema,
            self._target.partitions,
            self._target.max_record_bytes,
            self._target.mask_key,
        )

    async def _register(self, entity: Entity) -> None:
        for part, schema in (("key", key_schema(entity)), ("value", change_schema(entity))):
            subject = f"{self.topic}-{part}"
            self._check(subject, entity)
            try:
                await self._registry.set_compatibility(subject, COMPATIBILITY)
                schema_id = await self._registry.register(subject, schema_text(schema))
            except Rejected as error:
                raise Incompatible(
                    f"{self.spec.qualified}: the registry refuses {subject}: {error}"
                ) from error
            if part == "key":
                self._key_schema = schema_id
            else:
                self._value_schema = schema_id

    def _check(self, subject: str, entity: Entity) -> None:
        """Run our own compatibility check before the registry's. Only rows can differ."""
        if self.type is None:
            return
        if reason := shape_conflict(self.type, entity, subject):
            raise Incompatible(reason)


def shape_conflict(stored: Entity, described: Entity, subject: str) -> str:
    """Why rows of `described` are incompatible with the entity `stored` under this subject of its
    topic; empty if they aren't. Pure.
    """
    part = key_schema if subject.endswith(KEY_SUFFIX) else row_schema
    reasons = incompatibilities(part(stored), part(described), subject)
    if not reasons:
        return ""
    return (
        f"{stored.qualified}: the table's new shape doesn't fit its topic: {'; '.join(reasons)}. "
        "Declare the fields as they were, or capture the table under a new entity name"
    )


def stored_type(
    qualified: str, topic: str, key: RegisteredSchema, value: RegisteredSchema
) -> Entity:
    """The entity according to the newest schemas of its topic. Raises ConfigurationError if those
    are not of this entity.
    """
    try:
        fields = [field["name"] for field in json.loads(key.text)["fields"]]
        entity = replace(entity_of(json.loads(value.text)), key=tuple(fields))
        if entity.qualified != qualified:
            raise ValueError(f"it is that of {entity.qualified}")  # noqa: TRY301
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{qualified}: the schemas {key.id} and {value.id}, the newest under the subjects "
            f"{topic}-key and {topic}-value, are not those of this entity ({error}): something else "
            "registered them. Delete those versions in the registry (DELETE "
            f"/subjects/{topic}-value/versions/latest), use another entity name, or give the "
            "bridge a name of its own"
        ) from error
    return entity


def _schemas(entity: Entity) -> tuple[Schema, Schema]:
    """Key and value schema; only the key's has the order of the key fields."""
    return key_schema(entity), change_schema(entity)


def touched(
    encoder: RowEncoder, changes: Sequence[Change], entries: Sequence[Entry]
) -> list[KeyChange]:
    """Which keys these changes touched, and whether the stream had complete rows.

    `entries`: the encoder's records for `changes`.
    """
    partial = Counter(_key(encoder, change) for change in changes if is_partial(encoder, change))
    if not partial:
        return [KeyChange(entry[0] or b"", complete=True) for entry in entries]
    emitted = Counter(entry[0] or b"" for entry in entries)
    return [KeyChange(key, complete=count > partial[key]) for key, count in emitted.items()]


def is_partial(encoder: RowEncoder, change: Change) -> bool:
    """Whether the event of this change names columns as unavailable."""
    plan, (_, _, old, old_full, new, *_) = encoder.plan, change
    if new is None or (plan.wire is not Wire.PYTHON and b"u" not in bytes(new)):
        return False
    away = {index for index, form, _ in cells_of(plan, new) if form == _UNAVAILABLE_FORM}
    if old_full and old is not None:
        away &= {index for index, form, _ in cells_of(plan, old) if form == _UNAVAILABLE_FORM}
    return any(index in away for step in plan.steps for index in step.columns)


def _key(encoder: RowEncoder, change: Change) -> bytes:
    """The key of the new row; the stream may have sent it only with the old row."""
    entries: list[Entry] = []
    encoder.changes([change], 0, 0, entries)
    return entries[-1][0] or b"" if entries else b""


def keys_of(encoder: RowEncoder, failures: Sequence[FailedRow]) -> list[bytes]:
    """The keys of the changes that failed to become events, as far as they are known."""
    keys = [key for failure in failures for key in encoder.change_keys(failure.change)]
    return [key for key in keys if key is not None]


def row_keys(encoder: RowEncoder, rows: Sequence[Any]) -> list[bytes]:
    """The key of each raw row, aligned; empty if unknown, in which case no event has it."""
    keys: list[bytes] = []
    for row in rows:
        try:
            keys += encoder.keys([row])
        except RowError:
            keys.append(b"")
    return keys


def failure_reason(failure: FailedRow) -> str:
    """Why a change is dead-lettered; if it was too large, with its sizes."""
    if not failure.oversized:
        return str(failure.error)
    parts = ", ".join(
        f"{part.column} has {part.length} bytes"
        + (f" (SHA-256 {part.sha256})" if part.sha256 else "")
        for part in failure.oversized
    )
    return f"{failure.error}: {parts}"


__all__ = [
    "CapturedEntity",
    "EventTarget",
    "Incompatible",
    "failure_reason",
    "is_partial",
    "keys_of",
    "row_keys",
    "shape_conflict",
    "touched",
]
