"""The embedded registry: schemas as records of a topic, on any log.

Topic `_{bridge}.schemas`, one partition; a record is the JSON object `{"subject", "schema"}`. A
schema's id is the offset, plus one, of the first record with its fingerprint: so two processes
that register the same schema at once agree on its id without a lock. Every reader skips versions
that are incompatible with the earlier ones, so of two incompatible ones the first counts
everywhere. The topic is never compacted, because compaction keeps the last of equal keys and ids
depend on the first. Any other record is skipped with a warning, and named if its id is requested:
another program may have written it.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from bridge.log.port import Consumer, Entry, Log, Record, TopicPartition
from bridge.log.read_to_end import read_until
from bridge.log.registry_port import RegisteredSchema
from bridge.log.topic_specs import check_loses_nothing, internal_topic_spec
from bridge.model import schema_compatibility
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.names import SCHEMAS
from bridge.single_flight import CoalescedRun

_logger = logging.getLogger(__name__)
#: The compatibility that the bridge's own check enforces for every subject.
_LEVELS = frozenset({"BACKWARD_TRANSITIVE", "BACKWARD"})


class EmbeddedRegistry:
    """`bridge.log.registry_port.Registry` over one topic of a log. Safe for any number of tasks."""

    def __init__(self, log: Log, bridge: str) -> None:
        self._log = log
        self._spec = internal_topic_spec(bridge, SCHEMAS)
        self._partition = TopicPartition(self._spec.name, 0)
        self._reader: Consumer | None = None
        self._reading = CoalescedRun()
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._subjects: dict[str, list[str]] = {}
        self._registered: set[tuple[str, str]] = set()
        self._left_out: dict[int, str] = {}

    @property
    def name(self) -> str:
        """For people: which topic of which log."""
        return f"{self._partition.topic} of {self._log.name}"

    async def open(self) -> None:
        """Create the topic and read its schemas."""
        await self._log.create_topics([self._spec])
        await check_loses_nothing(
            self._log, self._spec, "schemas would vanish, and no record could be read"
        )
        begin = await self._log.beginning_offsets([self._partition])
        self._reader = await self._log.reader({self._partition: begin[self._partition]})
        await self._catch_up()

    async def close(self) -> None:
        """Stop reading."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def register(self, subject: str, text: str) -> int:
        """The id of `text` under `subject`; registers it if it is new there."""
        mark = schema_compatibility.valid(subject, text)
        if not self._has(subject, mark):
            await self._catch_up()
        if not self._has(subject, mark):
            schema_compatibility.check(subject, text, self._subjects.get(subject, ()))
            value = json.dumps({"subject": subject, "schema": text}, separators=(",", ":"))
            await self._log.append(self._partition.topic, [Entry(subject.encode(), value.encode())])
            await self._catch_up()
        if not self._has(subject, mark):
            # Another process registered an incompatible schema first.
            schema_compatibility.check(subject, text, self._subjects.get(subject, ()))
            raise RetryLater(f"{subject}: what was appended to {self.name} is not there yet")
        return self._ids[mark]

    async def schema(self, schema_id: int) -> str:
        """The text of a schema. Raises KeyError for an unknown id, ConfigurationError if its record
        isn't a schema.
        """
        if schema_id not in self._texts:
            await self._catch_up()
        if schema_id in self._left_out:
            raise ConfigurationError(self._left_out[schema_id])
        return self._texts[schema_id]

    async def stored(self, schema_id: int) -> str:
        """As `schema`, because this registry caches nothing else."""
        return await self.schema(schema_id)

    def forget(self, schema_id: int) -> None:
        """Does nothing: schemas in the topic never change."""

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest version under `subject`."""
        versions = await self.versions(subject)
        return versions[-1] if versions else None

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        """Every version under `subject`, oldest first."""
        await self._catch_up()
        return [
            RegisteredSchema(self._ids[schema_compatibility.fingerprint(text)], text)
            for text in self._subjects.get(subject, ())
        ]

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Every subject is BACKWARD_TRANSITIVE here."""
        if level not in _LEVELS:
            raise Rejected(
                "unknown_compatibility",
                f"{subject}: the embedded registry knows BACKWARD_TRANSITIVE only, not {level!r}",
            )

    async def _catch_up(self) -> None:
        """Read to the current end."""
        await self._reading.run(self._read_to_end)

    async def _read_to_end(self) -> None:
        reader = self._reader
        if reader is None:
            raise RetryLater(f"the registry {self.name} is not open")
        ends = await self._log.end_offsets([self._partition])
        async for records in read_until(self._log, reader, ends):
            for record in records:
                self._take(record)

    def _take(self, record: Record) -> None:
        schema_id = record.offset + 1
        try:
            subject, text, mark = _understood(record.value)
        except Rejected as error:
            self._left_out[schema_id] = (
                f"{self.name}: the record at offset {record.offset} (schema id {schema_id}) is "
                f"skipped: {error}; only the bridge may write to this topic"
            )
            _logger.warning("%s", self._left_out[schema_id])
            return
        if mark not in self._ids:
            self._ids[mark] = schema_id
            self._texts[schema_id] = text
        versions = self._subjects.setdefault(subject, [])
        if not self._has(subject, mark) and _may_follow(subject, text, versions):
            versions.append(text)
            self._registered.add((subject, mark))

    def _has(self, subject: str, mark: str) -> bool:
        return (subject, mark) in self._registered


def _understood(value: bytes | None) -> tuple[str, str, str]:
    """Subject, schema and fingerprint of a record. Raises Rejected if it isn't one of ours."""
    try:
        content: Any = json.loads(value or b"")
        subject, text = content["subject"], content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Rejected(
            "not_a_schema", f"not a registered schema ({type(error).__name__})"
        ) from error
    if not isinstance(subject, str) or not isinstance(text, str):
        raise Rejected("not_a_schema", "its subject and schema must both be text")
    return subject, text, schema_compatibility.valid(subject, text)


def _may_follow(subject: str, text: str, versions: list[str]) -> bool:
    try:
        schema_compatibility.check(subject, text, versions)
    except Rejected:
        return False
    return True
