"""A legacy database, a log and a capture between them, all of it real."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fastavro

from bridge.capture.checkpoint.store import read_range
from bridge.capture.contract import CaptureDependencies, CaptureLimits
from bridge.capture.runner import Capture
from bridge.connector import System
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log, Record, TopicPartition
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import framing
from bridge.model.specs import EntitySpec
from bridge.model.system_records import DeadLetter
from bridge.observe import Notice
from tests.capture.databases import BRIDGE, CapturedDatabase
from tests.waiting import until

QUICK = CaptureLimits(keep_alive=0.3, wait=0.05, status=0.1, backoff=0.01, longest_backoff=0.1)


@dataclass(frozen=True)
class ChangeRecord:
    """A record of a change topic, decoded by fastavro."""

    key: dict[str, Any]
    change: dict[str, Any] | None
    record: Record

    @property
    def op(self) -> str:
        return "tombstone" if self.change is None else str(self.change["op"])


@dataclass
class CaptureHarness:
    """One system `erp` whose entities are its tables of the same name."""

    database: CapturedDatabase
    log: Log
    registry: Registry
    notices: list[Notice] = field(default_factory=list)
    entities: tuple[EntitySpec, ...] = ()
    limits: CaptureLimits = QUICK
    bridge: str = BRIDGE

    def run(self, *statements: str) -> None:
        self.database.run(*statements)

    def system(self) -> System:
        return self.database.system(list(dict.fromkeys(each.table for each in self.entities)))

    def deps(self, **changes: Any) -> CaptureDependencies:
        defaults = CaptureDependencies(
            bridge=self.bridge,
            connector=self.database.connector,
            system=self.system(),
            entities=self.entities,
            log=self.log,
            registry=self.registry,
            dead=SystemTopicCodec(self.registry, self.bridge),
            clock=lambda: time.time_ns() // 1000,
            monotonic=time.monotonic,
            observer=self.notices.append,
            limits=self.limits,
        )
        return replace(defaults, **changes)

    async def declare(self, *tables: str | EntitySpec) -> None:
        """Entities over tables, and what the journal needs for them."""
        self.entities = tuple(
            EntitySpec("erp", table, table) if isinstance(table, str) else table for table in tables
        )
        await self.database.connector.setup(self.system())

    @asynccontextmanager
    async def capturing(self, instance: str = "one", **changes: Any) -> AsyncIterator[Capture]:
        """Capture for as long as the block, which begins when first snapshots are complete; what
        capture raised is raised at the block's end.
        """
        capture = Capture(self.deps(**changes), instance)
        running = asyncio.create_task(capture.run())
        try:
            await until(lambda: running.done() or is_streaming(capture, self.entities))
            yield capture
            if running.done() or capture.stats.state == "stopped":
                await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def records(self, entity: str) -> list[ChangeRecord]:
        """Every record of an entity's topic."""
        topic = f"{self.bridge}.erp.{entity}"
        topics = await self.log.topics()
        if topic not in topics:
            return []
        decoded = []
        for number in range(topics[topic].partitions):
            records = await read_range(self.log, TopicPartition(topic, number), 0)
            decoded.extend([await self._decoded(record) for record in records])
        return decoded

    async def _decoded(self, record: Record) -> ChangeRecord:
        assert record.key is not None
        key = await self._avro(record.key)
        return ChangeRecord(key, await self._avro(record.value) if record.value else None, record)

    async def _avro(self, data: bytes) -> Any:
        schema = fastavro.parse_schema(
            json.loads(await self.registry.schema(framing.schema_id(data)))
        )
        stream = io.BytesIO(data[framing.HEADER_SIZE :])
        value = fastavro.schemaless_reader(stream, schema, None)
        assert not stream.read(), "the record has bytes behind its end"
        return value

    async def state(self, entity: str, key: str = "id") -> dict[Any, Any]:
        """What a reader of the topic knows: the last row for each key."""
        rows: dict[Any, Any] = {}
        for record in await self.records(entity):
            if record.change is None or record.op == "delete":
                rows.pop(record.key[key], None)
            else:
                rows[record.key[key]] = record.change["after"]
        return rows

    async def dead(self) -> list[DeadLetter]:
        """Every dead letter."""
        topic = f"{self.bridge}.dead"
        codec = SystemTopicCodec(self.registry, self.bridge)
        letters = []
        for number in range((await self.log.topics())[topic].partitions):
            for record in await read_range(self.log, TopicPartition(topic, number), 0):
                letter = await codec.decode("dead", record.value or b"")
                assert isinstance(letter, DeadLetter)
                letters.append(letter)
        return letters

    def table(self, name: str, key: str = "id") -> dict[Any, Any]:
        """The table as it is."""
        names, fetched = self.database.rows(f"SELECT * FROM {name}")
        rows = [dict(zip(names, row, strict=True)) for row in fetched]
        return {row[key]: row for row in rows}

    async def equal(self, *tables: str) -> None:
        """Wait until the log says of each table what it holds."""
        for table in tables:
            await self.equal_but(table, set())

    async def equal_but(self, table: str, keys: set[Any]) -> None:
        """The same, apart from rows with these keys."""

        async def same() -> bool:
            # The log first: what leaves the table meanwhile is missing from the rows, and has yet
            # to leave the log.
            state = await self.state(table)
            return state == {key: row for key, row in self.table(table).items() if key not in keys}

        await until(same)


def is_streaming(capture: Capture, entities: Iterable[EntitySpec]) -> bool:
    """Whether changes are streaming and no entity waits for its first snapshot."""
    progress = capture.stats.progress
    without_first_snapshot = {*progress.taken, *progress.paused}
    return capture.stats.state == "streaming" and all(
        each.name in without_first_snapshot for each in entities
    )


@asynccontextmanager
async def open_harness(folder: Path, database: CapturedDatabase) -> AsyncIterator[CaptureHarness]:
    """A rig with an embedded log in `folder`."""
    log = EmbeddedLog(folder / "bridge.db", compact_every=None)
    await log.open()
    registry = EmbeddedRegistry(log, BRIDGE)
    await registry.open()
    harness = CaptureHarness(database, log, registry)
    try:
        yield harness
    finally:
        database.close()
        await registry.close()
        await log.close()


__all__ = ["QUICK", "CaptureHarness", "ChangeRecord", "is_streaming", "open_harness", "until"]
