"""A copy of a system that is really captured, and reads that fill its cache."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import fastavro

from bridge.connector import Ask, Reader
from bridge.gateway.cache.cache_state import CacheBounds, CacheState, ReadAnswer
from bridge.gateway.cache.entry import RowEntry
from bridge.gateway.cache.fences import InFlight
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.copy.copy_parts import CopyParts
from bridge.gateway.copy.system_copy import FollowedCopy
from bridge.log.port import Log, Record
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import internal_topic_specs, public_topic_specs
from bridge.model.avro import key_schema
from bridge.model.freshness import NEVER
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.wiring.system_copies import SYSTEM_SCOPE, BarrierRequests, capture_records
from tests.capture.harness import CaptureHarness
from tests.waiting import until


@dataclass
class CopyHarness:
    """`copy` follows; `read` reads a row live and fills it."""

    capture: CaptureHarness
    copy: FollowedCopy
    reader: Reader
    log: Log
    codec: SystemTopicCodec
    records: list[tuple[Record, str]] = field(default_factory=list)
    outages: list[str] = field(default_factory=list)
    _tables: dict[str, EntityTable] = field(default_factory=dict)
    _known_server: str = ""

    @property
    def cache(self) -> CacheState:
        return self.copy.cache

    def begin(self) -> InFlight:
        return self.cache.begin_read(time.monotonic())

    async def read(self, entity: str, *keys: int, read: InFlight | None = None) -> dict[int, Any]:
        """Read rows of the table and fill them, as the gateway does."""
        read = read or self.begin()
        rows = await self.fetch(entity, *keys)
        return self.fill(entity, keys, rows, read)

    async def fetch(self, entity: str, *keys: int) -> Any:
        return await self.reader.fetch(Ask(entity, ("id",), [(key,) for key in keys]))

    def fill(self, entity: str, keys: tuple[int, ...], rows: Any, read: InFlight) -> dict[int, Any]:
        table = self.table(entity, rows.shape)
        answers = {row["id"]: row for row in table.rows(rows.shape, rows.rows)}
        began = read.begun_at
        self.copy.note_server(rows.server)
        answer = ReadAnswer(read, rows.visibility, time.monotonic(), began, rows.server)
        header = self.copy.rows.header(table.entity_of(rows.shape))
        payloads = [
            (
                key_of(table.entity, id=key),
                header + answers[key].avro_bytes() if key in answers else None,
            )
            for key in keys
        ]
        self.cache.fill(answer, SYSTEM_SCOPE, entity, payloads)
        self.cache.end_read(read, answer)
        return {key: answers[key].as_dict() if key in answers else None for key in keys}

    def held(self, entity: str, key: int) -> Any:
        """The row that is held, as a dict; None: absent; "nothing" where nothing is held."""
        entry = self.entry(entity, key)
        if entry is None:
            return "nothing"
        return None if entry.payload is None else self.copy.rows.row(entry.payload).as_dict()

    def entry(self, entity: str, key: int) -> RowEntry | None:
        return self.cache.get(SYSTEM_SCOPE, entity, self.key(entity, key))

    def key(self, entity: str, key: int) -> bytes:
        return key_of(self._tables[entity].entity, id=key)

    async def prove(self, entity: str) -> float:
        """Wait until a barrier that is begun now was passed; the time before it."""
        asked_at = time.monotonic()

        async def is_proved() -> bool:
            claim = self.copy.claim(entity)
            if claim is not None and claim.as_of >= asked_at:
                return True
            await self.copy.wait(entity, time.monotonic() + 1.0)
            return False

        await until(is_proved, describe=lambda: (self.copy.status(time.monotonic()), self.records))
        return asked_at

    def table(self, entity: str, shape: Any) -> EntityTable:
        table = self._tables.get(entity)
        if table is None:
            spec = next(each for each in self.capture.entities if each.name == entity)
            table = self._tables[entity] = EntityTable(spec, entity_type(spec, shape), shape)
        return table


def key_of(entity: Any, **key: Any) -> bytes:
    """Bytes of the log's key less its schema id, by fastavro."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(key_schema(entity)), key)
    return out.getvalue()


@asynccontextmanager
async def following(
    capture: CaptureHarness,
    *,
    log: Log | None = None,
    bounds: CacheBounds | None = None,
    **changes: Any,
) -> AsyncIterator[CopyHarness]:
    """A copy of the declared entities, which runs; topics are created."""
    log = log or capture.log
    await capture.log.create_topics(
        [
            *public_topic_specs(
                capture.bridge, [each.qualified for each in capture.entities], None
            ),
            *internal_topic_specs(capture.bridge, embedded_registry=False, remembers_ids=False),
        ]
    )
    capabilities = capture.database.connector.capabilities()
    cache = CacheState(
        SYSTEM_SCOPE,
        reports_visibility=capabilities.visibility,
        allowance=1.0,
        bounds=bounds or CacheBounds(),
    )
    record_codec = SystemTopicCodec(capture.registry, capture.bridge)
    await record_codec.open()
    records: list[tuple[Record, str]] = []
    outages: list[str] = []

    parts = CopyParts(
        log=log,
        registry=capture.registry,
        codec=record_codec,
        bridge=capture.bridge,
        system="erp",
        entities=tuple(each.name for each in capture.entities),
        cache=cache,
        scope=SYSTEM_SCOPE,
        capture=capture_records("erp"),
        ask=BarrierRequests(log, capture.bridge, "erp").send,
        name=f"test-{secrets.token_hex(4)}",
        has_transactions=capabilities.visibility,
        has_watermarks=capabilities.snapshot,
        streams_deletes=capabilities.deletes == "streamed",
        report=lambda _, reason: outages.append(reason),
        recovered=lambda: outages.append(""),
        report_record=lambda record, reason: records.append((record, reason)),
    )
    copy = FollowedCopy(replace(parts, **changes))
    _: SystemCopy = copy
    reader = await capture.database.connector.reader(capture.system())
    running = asyncio.create_task(copy.run())
    try:
        yield CopyHarness(capture, copy, reader, log, record_codec, records, outages)
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await reader.close()


__all__ = ["NEVER", "SYSTEM_SCOPE", "CopyHarness", "following", "key_of"]
