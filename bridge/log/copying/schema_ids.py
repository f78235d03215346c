"""Maps schema ids of one registry to another, and rewrites records with the new ids."""

from __future__ import annotations

import json

from bridge.log.registry_port import RegisteredSchema, Registry
from bridge.model import framing
from bridge.model.errors import ConfigurationError

COMPATIBILITY = "BACKWARD_TRANSITIVE"


class SchemaIds:
    """Registers schemas with the target as they occur; remembers the mapping of ids."""

    def __init__(self, source: Registry, target: Registry, bridge: str) -> None:
        self._source = source
        self._target = target
        self._bridge = bridge
        self._frames: dict[bytes, bytes] = {}

    async def carry(self, topic: str) -> bool:
        """Register every version of a topic's subjects, in order. Returns whether key ids stay the
        same.
        """
        same = True
        for part in ("key", "value"):
            subject = f"{topic}-{part}"
            versions = await self._source.versions(subject)
            if versions:
                await self._target.set_compatibility(subject, COMPATIBILITY)
            for version in versions:
                new = await self._register(subject, version)
                same = same and (part == "value" or new == version.id)
        return same

    @property
    def unchanged(self) -> bool:
        """Whether all ids so far are the same in both registries."""
        return all(old == new for old, new in self._frames.items())

    async def text(self, data: bytes) -> str:
        """The schema that a framed value was written with. Raises ConfigurationError."""
        return await self._text(framing.schema_id(data))

    async def current(self, topic: str, text: str) -> bytes:
        """The frame of values that this version of the bridge writes to a topic."""
        return framing.header(await self._target.register(f"{topic}-value", text))

    async def frame(self, data: bytes | None, topic: str, part: str) -> bytes | None:
        """`data` with the target's schema id, if it is framed. Internal topics may hold both
        kinds.
        """
        if data is None or len(data) < framing.HEADER_SIZE or data[0] != framing.MAGIC:
            return data
        old = data[: framing.HEADER_SIZE]
        new = self._frames.get(old)
        if new is None:
            schema_id = framing.schema_id(data)
            version = RegisteredSchema(schema_id, await self._text(schema_id))
            await self._register(self._subject(topic, part, version.text), version)
            new = self._frames[old]
        return new + data[framing.HEADER_SIZE :]

    async def _text(self, schema_id: int) -> str:
        try:
            return await self._source.schema(schema_id)
        except KeyError:
            raise ConfigurationError(
                f"schema id {schema_id} is not in the source's registry: copy with the registry "
                "that the records were written with"
            ) from None

    async def _register(self, subject: str, version: RegisteredSchema) -> int:
        new = await self._target.register(subject, version.text)
        self._frames[framing.header(version.id)] = framing.header(new)
        return new

    def _subject(self, topic: str, part: str, text: str) -> str:
        """The subject for a schema that is under none of its topic's subjects.

        Internal topics hold copies of events: their schemas name the entity.
        """
        schema = json.loads(text)
        if topic.startswith("_") and isinstance(schema, dict) and schema.get("namespace"):
            return f"{self._bridge}.{schema['namespace']}-{part}"
        return f"{topic}-{part}"
