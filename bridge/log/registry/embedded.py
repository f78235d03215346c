"""The embedded registry: schemas as records of a topic, on any log.

Topic `_{bridge}.schemas`, one partition; a record is the JSON object `{"subject", "schema"}`. A
schema's id is the offset, plus one, of the first record with its text: so two processes that
register the same schema at once agree on its id, with no lock between them. The topic is never
compacted, because compaction keeps the last of equal keys and ids hang on the first.
"""

from __future__ import annotations

import asyncio
import json

from bridge.log.port import (
    Consumer,
    Entry,
    Log,
    RegisteredSchema,
    TopicPartition,
    TopicSpec,
)
from bridge.model.names import SCHEMAS, internal_topic

_READ = 1000
_WAIT = 5.0


class EmbeddedRegistry:
    """`bridge.log.port.Registry` over one topic of a log. Safe for any number of tasks."""

    def __init__(self, log: Log, bridge: str) -> None:
        self._log = log
        self._place = TopicPartition(internal_topic(bridge, SCHEMAS), 0)
        self._reader: Consumer | None = None
        self._reading = asyncio.Lock()
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._subjects: dict[str, list[str]] = {}

    async def open(self) -> None:
        """Create the topic and read what is there."""
        topic = self._place.topic
        await self._log.create_topics([TopicSpec(topic, "delete", partitions=1)])
        begin = await self._log.beginning_offsets([self._place])
        self._reader = await self._log.reader({self._place: begin[self._place]})
        await self._catch_up()

    async def close(self) -> None:
        """Stop reading."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def register(self, subject: str, text: str) -> int:
        """The id of `text` under `subject`; registers it when it is new there."""
        if text not in self._subjects.get(subject, ()):
            await self._catch_up()
        if text not in self._subjects.get(subject, ()):
            value = json.dumps({"subject": subject, "schema": text}, separators=(",", ":"))
            await self._log.append(self._place.topic, [Entry(subject.encode(), value.encode())])
            await self._catch_up()
        return self._ids[text]

    async def schema(self, schema_id: int) -> str:
        """The text of a schema. Raises KeyError when the id isn't known."""
        if schema_id not in self._texts:
            await self._catch_up()
        return self._texts[schema_id]

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest version under `subject`."""
        await self._catch_up()
        texts = self._subjects.get(subject)
        return RegisteredSchema(self._ids[texts[-1]], texts[-1]) if texts else None

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Every subject is BACKWARD_TRANSITIVE here; the bridge's own check holds it to that."""
        if level not in {"BACKWARD_TRANSITIVE", "BACKWARD"}:
            raise ValueError(f"the embedded registry has no compatibility {level!r} ({subject})")

    async def _catch_up(self) -> None:
        """Read to the end, as it is now."""
        async with self._reading:
            reader = self._reader
            if reader is None:
                raise RuntimeError("the registry is not open")
            end = (await self._log.end_offsets([self._place]))[self._place]
            while reader.position(self._place) < end:
                for record in await reader.read(_READ, _WAIT):
                    self._take(record.offset + 1, record.value or b"{}")

    def _take(self, schema_id: int, value: bytes) -> None:
        told = json.loads(value)
        text = told["schema"]
        if text not in self._ids:
            self._ids[text] = schema_id
            self._texts[schema_id] = text
        versions = self._subjects.setdefault(told["subject"], [])
        if text not in versions:
            versions.append(text)
