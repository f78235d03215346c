"""The contract of a read over systems that are really captured: cache, barriers, causality, receipts."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from bridge.connector import Ask, Reader, Rows
from bridge.gateway import Gateway
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.model.freshness import NEVER
from bridge.model.position import format_position
from bridge.model.provenance import provenance
from bridge.model.read_demands import NO_DEMANDS, ReadCause, ReadDemands
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import Relation
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from tests.capture.databases import PostgresDatabase, SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness
from tests.gateway.copy.harness import CopyHarness, following
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

ORDER = EntitySpec("erp", "order", "orders", relations=(Relation("lines", "line", by="order_id"),))
LINE = EntitySpec(
    "erp", "line", "lines", relations=(Relation("order", "order", from_field="order_id"),)
)
TABLES = (
    "CREATE TABLE orders (id integer PRIMARY KEY, state varchar(20))",
    "CREATE TABLE lines (id integer PRIMARY KEY, order_id integer, item varchar(20))",
    "INSERT INTO orders VALUES (1, 'open'), (2, 'open')",
    "INSERT INTO lines VALUES (10, 1, 'nut'), (11, 1, 'bolt'), (12, 2, 'nail')",
)
PATIENT = ReadDemands(max_staleness=3600.0)
NOW = ReadDemands(max_staleness=0.0)


@dataclass
class CountingReader:
    """A Reader that counts."""

    reader: Reader
    asks: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.max_keys, self.features = self.reader.max_keys, self.reader.features

    async def fetch(self, ask: Ask) -> Rows:
        self.asks.append(ask)
        return await self.reader.fetch(ask)

    async def close(self) -> None:
        await self.reader.close()


@dataclass
class ReadErp:
    """A captured system with its copy and its gateway."""

    capture: CaptureHarness
    copy: CopyHarness
    door: Gateway
    reader: CountingReader

    @property
    def queries(self) -> int:
        return len(self.reader.asks)

    async def state(self, key: int = 1, demands: ReadDemands = PATIENT) -> str | None:
        row = await self.door.get("order", key, demands)
        return None if row is None else row.state

    async def items(self, key: int = 1, demands: ReadDemands = PATIENT) -> list[str]:
        lines = await self.door.related("order", {"id": key}, "lines", demands)
        return sorted(line.item for line in lines)

    async def transaction(self, statement: str) -> int:
        """Run a statement; the number by which reads say that they show it."""
        if isinstance(self.capture.database, PostgresDatabase):
            _, [(number,)] = self.capture.database.rows(
                f"WITH written AS ({statement} RETURNING 1) SELECT txid_current() FROM written"
            )
            return int(number)
        self.capture.run(statement)
        rows = await self.reader.reader.fetch(Ask("orders", ("id",), [(1,)]))
        return int(rows.visibility.commit)  # type: ignore[union-attr]


@asynccontextmanager
async def reading(capture: CaptureHarness) -> AsyncIterator[ReadErp]:
    """Tables of orders and lines; the copy follows, capture is the test's own."""
    capture.run(*TABLES)
    await capture.declare(ORDER, LINE)
    shapes = await capture.database.connector.describe(capture.system())
    tables = {
        spec.name: EntityTable(spec, entity_type(spec, shapes[spec.table]), shapes[spec.table])
        for spec in (ORDER, LINE)
    }
    async with following(capture) as copy:
        reader = CountingReader(copy.reader)
        door = Gateway("erp", reader, tables, SystemLimits(), copy=copy.copy)
        yield ReadErp(capture, copy, door, reader)


@pytest.fixture(params=["journal", "postgres", "kafka"])
async def capture(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    if request.param == "kafka":
        from bridge.log.kafka import from_url

        kafka: Kafka = request.getfixturevalue("kafka")
        log, bridge = from_url(f"kafka://{kafka.bootstrap}"), f"acme{uuid.uuid4().hex[:8]}"
        await log.open()
        registry = EmbeddedRegistry(log, bridge)
        await registry.open()
        database = SqliteDatabase(tmp_path / "erp.db")
        try:
            yield CaptureHarness(database, log, registry, bridge=bridge)
        finally:
            database.close()
            await registry.close()
            await log.close()
        return
    source = (
        SqliteDatabase(tmp_path / "erp.db")
        if request.param == "journal"
        else PostgresDatabase(request.getfixturevalue("database"))
    )
    async with open_harness(tmp_path, source) as opened:
        yield opened


def of_event(transaction: int, **demands: float) -> ReadDemands:
    """Of a handler of an event that nothing has followed yet."""
    last = format_position(0xFFFF, 1, 0)
    cause = ReadCause("agent", "handler", "e", "erp", last, str(transaction), monotonic())
    return ReadDemands(**demands, cause=cause)  # type: ignore[arg-type]


def receipt(at: str | None) -> ReadDemands:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return ReadDemands(after=Receipt("c", Outcome.SUCCEEDED, None, None, None, None, at, when))


async def test_reads_are_answered_by_the_cache_and_stay_right(capture: CaptureHarness) -> None:
    async with reading(capture) as erp, capture.capturing():
        await erp.copy.prove("order")
        await erp.copy.prove("line")
        for _ in range(3):
            assert await erp.state() == "open"
            assert await erp.state(9) is None
            assert await erp.items() == ["bolt", "nut"]
        assert erp.queries == 3
        assert provenance(await erp.door.get("order", 1, PATIENT)).source == "cache"
        capture.run(
            "UPDATE orders SET state = 'paid' WHERE id = 1",
            "INSERT INTO orders VALUES (9, 'new')",
            "UPDATE lines SET order_id = 2 WHERE id = 11",
            "DELETE FROM lines WHERE id = 12",
        )
        assert await erp.state(1, NOW) == "paid", "after a barrier, or live"
        assert await erp.items(1, NOW) == ["nut"]
        await erp.copy.prove("order")
        await erp.copy.prove("line")
        assert await erp.state(9) == "new"
        assert await erp.items(2) == ["bolt"]
        row = await erp.door.get("order", 1, PATIENT)
        assert provenance(row).source == "cache"
        before = provenance(row)
        await erp.copy.prove("order")
        assert provenance(row).as_of > before.as_of, "it is still held, and proved again"


async def test_a_handler_never_sees_a_state_before_its_event(capture: CaptureHarness) -> None:
    async with reading(capture) as erp:
        async with capture.capturing():
            await erp.copy.prove("order")
            await erp.copy.prove("line")
            assert await erp.state() == "open"
            assert await erp.state(9) is None
            assert await erp.items() == ["bolt", "nut"]
        # Nothing is followed from here on.
        event = await erp.transaction("UPDATE orders SET state = 'paid' WHERE id = 1")
        moved = await erp.transaction("UPDATE lines SET order_id = 2 WHERE id = 11")
        inserted = await erp.transaction("INSERT INTO orders VALUES (9, 'new')")
        assert await erp.state() == "open", "who isn't bound may be answered by what is held"
        assert await erp.state(1, of_event(event, max_staleness=3600.0)) == "paid"
        assert await erp.items(1, of_event(moved, max_staleness=3600.0)) == ["nut"]
        assert await erp.state(9, of_event(inserted, max_staleness=3600.0)) == "new"


async def test_read_your_own_writes(capture: CaptureHarness) -> None:
    async with reading(capture) as erp:
        async with capture.capturing():
            await erp.copy.prove("order")
            assert await erp.state() == "open"
            assert await erp.state(9) is None
            capture.run("INSERT INTO orders VALUES (9, 'mine')")
            await until(lambda: _is_recorded(capture, 9))
            at = (await capture.records("order"))[-1].change["position"]  # type: ignore[index]
            await erp.copy.prove("order")
            before = erp.queries
            assert await erp.state(9, receipt(at)) == "mine"
            assert erp.queries == before, "the copy follows, and has proved it"
        capture.run("INSERT INTO orders VALUES (8, 'late')")
        assert await erp.state(8) == "late"
        capture.run("UPDATE orders SET state = 'later' WHERE id = 8")
        assert await erp.state(8, receipt(format_position(0xFFFF, 1, 0))) == "later"
        capture.run("UPDATE orders SET state = 'last' WHERE id = 8")
        assert await erp.state(8, receipt(None)) == "last"
        assert await erp.state(8) == "last"


async def test_nothing_is_claimed_that_is_not_proved(capture: CaptureHarness) -> None:
    async with reading(capture) as erp:
        row = await erp.door.get("order", 1, NO_DEMANDS)
        assert row is not None
        assert provenance(row).source == "legacy"
        claim = erp.copy.copy.claim("order")
        assert claim is None or claim.as_of == NEVER
        again = await erp.door.get("order", 1, NO_DEMANDS)
        assert provenance(again).source == "legacy", "no snapshot of it is finished"


async def _is_recorded(capture: CaptureHarness, key: int) -> bool:
    return key in await capture.state("order")
