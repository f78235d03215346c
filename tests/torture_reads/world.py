"""A system that is written to, captured, followed and read, all of it real and in one process."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.capture.runner import Capture
from bridge.capture.table_shapes import describe_tables
from bridge.connector import Ask, Reader, Rows
from bridge.gateway import Gateway
from bridge.gateway.cache.cache_state import CacheBounds
from bridge.gateway.copy.system_copy import FollowedCopy
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import internal_topic_specs, public_topic_specs
from bridge.model.specs import EntitySpec, FieldSpec, SystemLimits
from bridge.model.types import FieldType
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.wiring.system_copies import build_copy
from tests.capture.databases import BRIDGE, CapturedDatabase, PostgresDatabase, SqliteDatabase
from tests.capture.harness import QUICK, CaptureHarness
from tests.torture_reads.databases import (
    TABLE,
    RecordingDatabase,
    RecordingPostgres,
    RecordingSqlite,
)
from tests.waiting import until

ENTITY = EntitySpec(
    "erp",
    "item",
    TABLE,
    ("id",),
    (
        FieldSpec("id", ("id",)),
        FieldSpec("parent", ("parent",)),
        FieldSpec("version", ("version",)),
        # A text that is no number fails in capture, and in reads.
        FieldSpec("amount", ("amount",), FieldType("decimal", 20, 2)),
        FieldSpec("big", ("big",)),
    ),
)
SMALL_CACHE = CacheBounds(bytes=20_000)


class UnevenReader:
    """A reader that gives some partitions' records later than others', as a log of many brokers does."""

    def __init__(self, reader: Consumer, lag: Callable[[], float], chance: random.Random) -> None:
        self._reader = reader
        self._lag = lag
        self._chance = chance
        self._withheld: dict[TopicPartition, list[Record]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def position(self, partition: TopicPartition) -> int:
        """Before what is withheld."""
        withheld = self._withheld.get(partition)
        return withheld[0].offset if withheld else self._reader.position(partition)

    async def read(self, limit: int, timeout: float) -> list[Record]:
        lag = self._lag()
        if lag:
            await asyncio.sleep(self._chance.random() * lag)
        records = await self._reader.read(limit, min(timeout, 0.02) if self._withheld else timeout)
        released: list[Record] = []
        for partition in list(self._withheld):
            if not lag or self._chance.random() < 0.3:
                released.extend(self._withheld.pop(partition))
        late: dict[TopicPartition, bool] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            if partition not in late:
                is_late = bool(lag) and self._chance.random() < 0.3
                late[partition] = partition in self._withheld or is_late
            if late[partition]:
                self._withheld.setdefault(partition, []).append(record)
            else:
                released.append(record)
        return released


class LaggingReads:
    """The log of a follower that lags for a random time, each partition by itself."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self._log = log
        self._chance = chance
        self.lag_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def reader(
        self, offsets: Mapping[TopicPartition, int], *, report_removed: bool = False
    ) -> UnevenReader:
        reader = await self._log.reader(offsets, report_removed=report_removed)
        return UnevenReader(reader, lambda: self.lag_s, self._chance)


class LateReader:
    """A reader whose answers sometimes arrive long after they were read."""

    def __init__(self, reader: Reader, chance: random.Random) -> None:
        self._reader = reader
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def fetch(self, ask: Ask) -> Rows:
        rows = await self._reader.fetch(ask)
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.random() * 0.3)
        return rows


@dataclass
class TortureWorld:
    """captures: how often capture was begun. log: as the follower sees it."""

    database: RecordingDatabase
    harness: CaptureHarness
    log: LaggingReads
    copy: FollowedCopy
    gateway: Gateway
    captures: int = 0
    _capturing: asyncio.Task[None] | None = None
    _following: asyncio.Task[None] | None = None
    notices: list[Any] = field(default_factory=list)

    async def begin_capture(self) -> None:
        self.captures += 1
        capture = Capture(self.harness.deps(), f"capture-{self.captures}")
        self._capturing = asyncio.create_task(capture.run())

    async def kill_capture(self) -> None:
        await _cancelled(self._capturing)

    async def begin_copy(self) -> None:
        self._following = asyncio.create_task(self.copy.run())

    async def kill_copy(self) -> None:
        await _cancelled(self._following)

    async def caught_up(self, keys: Sequence[int]) -> None:
        """Wait until a read of everything that was committed is answered by the copy."""

        async def is_proved() -> bool:
            claim, now = self.copy.claim("item"), asyncio.get_running_loop().time()
            await self.copy.wait("item", now + 1.0)
            later = self.copy.claim("item")
            return claim is not None and later is not None and later.as_of > now

        await until(is_proved, 120, describe=lambda: (self.copy.reasons("item"), keys))

    async def close(self) -> None:
        await self.kill_copy()
        await self.kill_capture()
        await self.gateway.close()


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is None:
        return
    if task.done():
        task.result()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def torture_world(
    folder: Path, chance: random.Random, postgres_url: str = ""
) -> AsyncIterator[TortureWorld]:
    """With PostgreSQL at that address, else with SQLite and its journal."""
    database: RecordingDatabase
    captured: CapturedDatabase
    if postgres_url:
        database = RecordingPostgres(postgres_url)
        captured = PostgresDatabase(postgres_url)
    else:
        database = RecordingSqlite(folder / "erp.db")
        captured = SqliteDatabase(folder / "erp.db")
    async with AsyncExitStack() as stack:
        log = EmbeddedLog(folder / "bridge.db", compact_every=None)
        await log.open()
        stack.push_async_callback(log.close)
        registry = EmbeddedRegistry(log, BRIDGE)
        await registry.open()
        stack.push_async_callback(registry.close)
        stack.callback(captured.close)
        harness = CaptureHarness(captured, log, registry, limits=replace(QUICK, status=0.2))
        await harness.declare(ENTITY)
        await log.create_topics(
            [
                *public_topic_specs(BRIDGE, [ENTITY.qualified], None),
                *internal_topic_specs(BRIDGE, embedded_registry=False, remembers_ids=False),
            ]
        )
        lagging = LaggingReads(log, chance)
        notices: list[Any] = []
        copy, gateway = await _gateway(harness, lagging, notices, chance)
        world = TortureWorld(database, harness, lagging, copy, gateway, notices=notices)
        stack.push_async_callback(world.close)
        yield world


async def _gateway(
    harness: CaptureHarness, log: LaggingReads, notices: list[Any], chance: random.Random
) -> tuple[FollowedCopy, Gateway]:
    connector, system = harness.database.connector, harness.system()
    codec = SystemTopicCodec(harness.registry, BRIDGE)
    await codec.open()
    copy = build_copy(
        BRIDGE,
        "erp",
        connector,
        [ENTITY],
        log=log,
        registry=harness.registry,
        codec=codec,
        observer=notices.append,
        process=f"torture-{secrets.token_hex(4)}",
        bounds=SMALL_CACHE,
    )
    shapes, _ = await describe_tables(connector, system)
    shape = shapes[TABLE]
    tables = {"item": EntityTable(ENTITY, entity_type(ENTITY, shape), shape)}
    reader = LateReader(await connector.reader(system), chance)
    gateway = Gateway("erp", reader, tables, SystemLimits(connections=4), copy=copy)
    return copy, gateway
