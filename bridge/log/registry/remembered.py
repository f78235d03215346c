"""A registry whose ids are recorded in the log, so that a replaced registry is detected.

A registry that lost its database reassigns ids: an old id then denotes a different schema, and old
records are read with swapped fields. So the log keeps the fingerprint of each id that the bridge
used, in the topic `_{bridge}.schema_ids`: one record per id, its key the id as text, its value the
JSON object `{"fingerprint", "subject"}`. The registry's responses are compared with it; some ids
are checked again at the start and at intervals.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Final, Protocol

from bridge.log.port import Entry, Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.log.registry_port import RegisteredSchema, Registry
from bridge.log.topic_specs import check_loses_nothing, internal_topic_spec
from bridge.model import schema_compatibility
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.names import SCHEMA_IDS, internal_topic
from bridge.model.redaction import redact_cut
from bridge.single_flight import CoalescedRun

#: Ids that one check compares: the newest ones, and others in turn.
NEWEST_IDS: Final = 4
OTHER_IDS: Final = 6
#: Concurrent requests when all ids are compared.
CONCURRENT_REQUESTS: Final = 20
#: Seconds for which a check remains valid for registering schemas.
FRESH_S: Final = 30.0


class VerifiableRegistry(Registry, Protocol):
    """A registry whose cached schemas can be fetched again."""

    @property
    def name(self) -> str:
        """For people, without secrets."""

    async def stored(self, schema_id: int) -> str:
        """The current text of a schema in the registry. Raises KeyError if it has none."""

    def forget(self, schema_id: int) -> None:
        """Fetch this schema again at its next use."""


class OtherRegistry(RetryLater):
    """The registry isn't the one that the log was written with. Nothing is read or registered."""


class RememberedRegistry:
    """`bridge.log.registry_port.Registry` around another one. Safe for any number of tasks."""

    def __init__(
        self,
        registry: VerifiableRegistry,
        log: Log,
        bridge: str,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`clock` in seconds."""
        self._registry = registry
        self._log = log
        self._bridge = bridge
        self._partition = TopicPartition(internal_topic(bridge, SCHEMA_IDS), 0)
        self._next_offset: int | None = None
        self._fingerprints: dict[int, str] = {}
        self._subjects: set[str] = set()
        self._reading = CoalescedRun()
        self._remembering = asyncio.Lock()
        self._turn = 0
        self._clock = clock
        self._verified_at: float | None = None

    @property
    def name(self) -> str:
        """For people, without secrets."""
        return self._registry.name

    async def open(self) -> None:
        """Connect, and compare. Raises ConfigurationError for another registry."""
        await self._registry.open()
        spec = internal_topic_spec(self._bridge, SCHEMA_IDS)
        await self._log.create_topics([spec])
        await check_loses_nothing(
            self._log, spec, "what each schema id stands for would be forgotten"
        )
        try:
            await self.verify()
        except OtherRegistry as error:
            raise ConfigurationError(str(error)) from error

    async def close(self) -> None:
        """As the port says."""
        await self._registry.close()

    async def verify(self) -> None:
        """Check some of the ids that the log was written with, different ones each time.

        Raises OtherRegistry if one of them now denotes another schema, RetryLater while the
        registry is unavailable.
        """
        await self._catch_up()
        await self._verify(self._sample())

    async def verify_all(self) -> None:
        """As `verify`, for every id."""
        await self._catch_up()
        schema_ids = list(self._fingerprints)
        for start in range(0, len(schema_ids), CONCURRENT_REQUESTS):
            await self._verify(schema_ids[start : start + CONCURRENT_REQUESTS])

    async def _verify(self, schema_ids: Sequence[int]) -> None:
        texts = await asyncio.gather(*(self._stored(schema_id) for schema_id in schema_ids))
        for schema_id, text in zip(schema_ids, texts, strict=True):
            self._compare(schema_id, text)
        self._verified_at = self._clock()

    async def register(self, subject: str, text: str) -> int:
        """As the port says; nothing is registered with another registry."""
        if self._verified_at is None or self._clock() - self._verified_at > FRESH_S:
            await self.verify()
        schema_id = await self._registry.register(subject, text)
        await self._agree(subject, schema_id, text)
        return schema_id

    async def schema(self, schema_id: int) -> str:
        """As the port says. KeyError only for ids that the log doesn't remember."""
        if schema_id not in self._fingerprints:
            await self._catch_up()
        try:
            text = await self._registry.schema(schema_id)
        except KeyError:
            if schema_id not in self._fingerprints:
                raise
            raise self._other(f"has no schema {schema_id}") from None
        self._compare(schema_id, text)
        return text

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """As the port says."""
        version = await self._registry.latest(subject)
        if version is None and await self._is_remembered(subject):
            # Another process registered it between the two requests, or it is another registry.
            version = await self._registry.latest(subject)
            if version is None:
                raise self._other(f"has nothing under the subject {subject}")
        if version is None:
            return None
        if version.id in self._fingerprints:
            self._compare(version.id, version.text)
        elif self._is_own(subject, version.text):
            # Written before the log remembered ids, or by another process.
            for each in await self._registry.versions(subject):
                await self._agree(subject, each.id, each.text)
        return version

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        """As the port says."""
        versions = await self._registry.versions(subject)
        if not versions and await self._is_remembered(subject):
            versions = await self._registry.versions(subject)
            if not versions:
                raise self._other(f"has nothing under the subject {subject}")
        for version in versions:
            self._compare(version.id, version.text)
        return versions

    async def set_compatibility(self, subject: str, level: str) -> None:
        """As the port says."""
        await self._registry.set_compatibility(subject, level)

    def _sample(self) -> list[int]:
        newest_first = list(reversed(self._fingerprints))
        newest, older = newest_first[:NEWEST_IDS], newest_first[NEWEST_IDS:]
        start = self._turn % len(older) if older else 0
        self._turn += OTHER_IDS
        return newest + (older[start:] + older[:start])[:OTHER_IDS]

    async def _stored(self, schema_id: int) -> str:
        try:
            return await self._registry.stored(schema_id)
        except KeyError:
            raise self._other(f"has no schema {schema_id}") from None

    async def _is_remembered(self, subject: str) -> bool:
        """Whether the log was written with this subject so far."""
        await self._catch_up()
        return subject in self._subjects

    def _compare(self, schema_id: int, text: str) -> None:
        fingerprint = self._fingerprints.get(schema_id)
        if fingerprint is not None and fingerprint != _fingerprint(text):
            self._registry.forget(schema_id)
            raise self._other(f"has another schema under the id {schema_id}")

    async def _agree(self, subject: str, schema_id: int, text: str) -> None:
        """Compare the schema with the recorded fingerprint of its id, or record it."""
        async with self._remembering:
            if schema_id not in self._fingerprints:
                await self._catch_up()
            self._compare(schema_id, text)
            if schema_id in self._fingerprints:
                return
            value = {"fingerprint": _fingerprint(text), "subject": subject}
            entry = Entry(b"%d" % schema_id, json.dumps(value, separators=(",", ":")).encode())
            await self._log.append(self._partition.topic, [entry])
            await self._catch_up()

    async def _catch_up(self) -> None:
        try:
            await self._reading.run(self._read_to_end)
        except RetryLater as error:
            # Otherwise people would suspect the registry, which works.
            raise RetryLater(
                f"{self._log.name} is unavailable, which records the schemas of this registry's "
                f"ids: {error}"
            ) from error

    async def _read_to_end(self) -> None:
        partition = self._partition
        if self._next_offset is None:
            self._next_offset = (await self._log.beginning_offsets([partition]))[partition]
        ends = await self._log.end_offsets([partition])
        async with aclosing(
            read_to_end(self._log, {partition: self._next_offset}, ends)
        ) as batches:
            async for records in batches:
                self._take(records)
                self._next_offset = records[-1].offset + 1
        self._next_offset = max(self._next_offset, ends[partition])

    def _take(self, records: Iterable[Record]) -> None:
        """The first record of an id counts; records of other programs are ignored."""
        for record in records:
            try:
                schema_id, value = int(record.key or b""), json.loads(record.value or b"")
                fingerprint, subject = value["fingerprint"], value["subject"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if isinstance(fingerprint, str) and isinstance(subject, str):
                self._fingerprints.setdefault(schema_id, fingerprint)
                self._subjects.add(subject)

    def _is_own(self, subject: str, text: str) -> bool:
        """Whether the schema is that of the entity whose topic has this subject."""
        try:
            schema = json.loads(text)
        except (ValueError, RecursionError):
            return False
        namespace = schema.get("namespace") if isinstance(schema, dict) else None
        topic = f"{self._bridge}.{namespace}"
        return subject in {f"{topic}-key", f"{topic}-value"}

    def _other(self, finding: str) -> OtherRegistry:
        self._verified_at = None
        return OtherRegistry(
            f"registry {self.name} {finding}, with which {self._log.name} was written "
            f"(recorded in {self._partition.topic}): it is another registry, or has lost its "
            "database. Restore it, or set log.kafka.registry to the previous one; otherwise records would "
            "be read with other fields than they were written with"
        )


def _fingerprint(text: str) -> str:
    """The schema's fingerprint; a distinct one for text that isn't a schema."""
    try:
        return schema_compatibility.fingerprint(text)
    except (ValueError, RecursionError):
        return f"no schema: {redact_cut(text, 80)}"
