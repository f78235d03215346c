"""A delete that a comparison derives is written once the system says itself that the row is gone."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.capture import control
from bridge.capture.checkpoint import store
from bridge.capture.runner import Capture
from bridge.connector import Ask, Capabilities, Chunk, Condition, Reader, Rows, Snapshot, System
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.model.delete_limit import parse_delete_limit
from bridge.model.errors import RetryLater
from bridge.observe import DeletesWithheld, EntityPaused
from tests.capture.databases import PostgresDatabase
from tests.capture.harness import QUICK, CaptureHarness, open_harness, until
from tests.capture.polled_process import PolledStore
from tests.capture.test_rows import reported
from tests.capture.test_snapshots import SnapshotInterrupted
from tests.connectors.polled import fake
from tests.waiting import WAIT_TIMEOUT_S

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

ROWS = 240
SMALL = replace(QUICK, rows=40)


class Lies(fake.PolledConnector):
    """A service that leaves rows out of what it lists, or out of what it is asked for, or gives
    what nobody asked for.
    """

    def __init__(self) -> None:
        self.unlisted: Callable[[int], bool] = lambda _: False
        self.ignores_keys = False
        self.reads = True
        self.away = 0
        self.queries: list[int] = []

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), read=self.reads)

    async def snapshot(self, system: System) -> Snapshot:
        return _Snapshot(system, self)

    async def reader(self, system: System) -> Reader:
        assert self.reads, "it has no Reader"
        return _Reader(system, self)


class _Snapshot(fake.FileSnapshot):
    def __init__(self, system: System, lies: Lies) -> None:
        super().__init__(system)
        self._lies = lies

    def _chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int, only: str
    ) -> Chunk:
        chunk = super()._chunk(table, where, after, limit, only)
        if where is None:
            chunk.rows = [row for row in chunk.rows if not self._lies.unlisted(row[0])]
        return chunk


class _Reader(fake.FileReader):
    def __init__(self, system: System, lies: Lies) -> None:
        super().__init__(system)
        self._lies = lies

    async def fetch(self, ask: Ask) -> Rows:
        if self._lies.away:
            self._lies.away -= 1
            raise RetryLater("the service is busy")
        self._lies.queries.append(len(ask.keys))
        if self._lies.ignores_keys:
            return await super().fetch(Ask(ask.table, limit=ask.limit))
        return await super().fetch(ask)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with lying(tmp_path) as opened_harness:
        yield opened_harness


@asynccontextmanager
async def lying(folder: Path) -> AsyncIterator[CaptureHarness]:
    legacy = PolledStore(folder / "erp.json", compare=0)
    legacy.connector = Lies()
    legacy.put(*({"id": key, "a": "row", "b": key} for key in range(1, ROWS + 1)))
    async with open_harness(folder, legacy) as opened_harness:
        await opened_harness.declare("t")
        opened_harness.limits = SMALL
        yield opened_harness


def lies(harness: CaptureHarness) -> Lies:
    assert isinstance(harness.database.connector, Lies)
    return harness.database.connector


def drop(harness: CaptureHarness, *keys: int) -> None:
    assert isinstance(harness.database, PolledStore)
    harness.database.drop(*keys)


async def reconcile(harness: CaptureHarness, max_deletes: str = "") -> str:
    request = control.request("erp", "snapshot", "t", reconcile=True, max_deletes=max_deletes)
    await control.send(harness.log, harness.bridge, request)
    await until(lambda: reported(harness, request.id))
    progress = await store.progress_of(harness.log, harness.bridge, "erp")
    assert progress is not None
    (result,) = [result for result in progress.results if result.id == request.id]
    return result.failed or f"deleted {result.deleted}"


async def deletes(harness: CaptureHarness) -> Counter[int]:
    return Counter(
        record.key["id"] for record in await harness.records("t") if record.op == "delete"
    )


async def test_rows_that_a_listing_left_out_are_not_deleted(harness: CaptureHarness) -> None:
    async with harness.capturing():
        lies(harness).unlisted = lambda key: key % 2 == 0
        drop(harness, 1, 3)
        assert await reconcile(harness) == "deleted 2"
    assert await deletes(harness) == {1: 1, 3: 1}
    assert set(await harness.state("t")) == set(harness.table("t"))
    (withheld,) = [notice for notice in harness.notices if isinstance(notice, DeletesWithheld)]
    assert (withheld.entity, withheld.present) == ("erp.t", ROWS // 2)
    assert "did not show 120 rows" in withheld.reason
    # In batches.
    assert max(lies(harness).queries) == 25


async def test_a_connector_without_a_reader_is_asked_through_its_snapshots(
    harness: CaptureHarness,
) -> None:
    lies(harness).reads = False
    async with harness.capturing():
        lies(harness).unlisted = lambda key: key % 2 == 0
        drop(harness, 1, 3)
        assert await reconcile(harness) == "deleted 2"
    assert set(await harness.state("t")) == set(harness.table("t"))


async def test_a_service_that_ignores_what_it_is_asked_for_confirms_nothing(
    harness: CaptureHarness,
) -> None:
    lies(harness).ignores_keys = True
    async with harness.capturing():
        drop(harness, 1, 3)
        why = await reconcile(harness)
    assert "erp.t: queried for one row by its key" in why
    assert "ignores the condition" in why
    assert not await deletes(harness)
    assert len(lies(harness).queries) < 20


async def test_a_system_that_is_away_meanwhile_is_asked_again(harness: CaptureHarness) -> None:
    async with harness.capturing():
        drop(harness, *range(1, 61))
        lies(harness).away = 3
        assert await reconcile(harness) == "deleted 60"
    assert set(await harness.state("t")) == set(harness.table("t"))


@asynccontextmanager
async def on(log: str, folder: Path, kafka: Kafka) -> AsyncIterator[CaptureHarness]:
    """The rig with an embedded log, or with Kafka's."""
    async with lying(folder) as opened_harness:
        if log == "embedded":
            yield opened_harness
            return
        from bridge.log.kafka import from_url

        other, bridge = from_url(f"kafka://{kafka.bootstrap}"), f"acme{uuid.uuid4().hex[:8]}"
        await other.open()
        registry = EmbeddedRegistry(other, bridge)
        await registry.open()
        try:
            yield CaptureHarness(
                opened_harness.database,
                other,
                registry,
                entities=opened_harness.entities,
                limits=SMALL,
                bridge=bridge,
            )
        finally:
            await registry.close()
            await other.close()


@pytest.mark.parametrize("log", ["embedded", "kafka"])
async def test_more_deletes_than_are_plausible_wait_for_a_person(
    log: str, tmp_path: Path, kafka: Kafka
) -> None:
    async with on(log, tmp_path, kafka) as harness:
        async with harness.capturing():
            drop(harness, *range(1, 101))
            why = await reconcile(harness)
            assert "the entity was paused: comparing its table with the log" in why
        assert not await deletes(harness)
        (paused,) = [notice for notice in harness.notices if isinstance(notice, EntityPaused)]
        assert "would delete 100 of 240 rows" in paused.reason
        assert "bridgectl snapshot erp.t --reconcile --max-deletes 100" in paused.reason
        # It stays so over a restart, and what a person says counts.
        async with harness.capturing("two") as capture:
            assert set(capture.stats.progress.paused) == {"t"}
            assert "paused" in await reconcile(harness, "99")
            assert not await deletes(harness)
            assert await reconcile(harness, "100") == "deleted 100"
            assert not capture.stats.progress.paused
        assert set(await harness.state("t")) == set(harness.table("t"))


async def test_what_the_file_says_is_plausible_is(harness: CaptureHarness) -> None:
    (entity,) = harness.entities
    harness.entities = (replace(entity, max_deletes=parse_delete_limit("50%")),)
    async with harness.capturing():
        drop(harness, *range(1, 121))
        assert await reconcile(harness) == "deleted 120"
        drop(harness, *range(121, 182))
        assert "(50%)" in await reconcile(harness)


@pytest.mark.parametrize("step", ["commit.after", "high.after", "deletes.before"])
async def test_a_limit_that_a_person_gave_holds_over_a_restart(
    harness: CaptureHarness, step: str
) -> None:
    async with harness.capturing():
        drop(harness, *range(1, 201))
    request = control.request("erp", "snapshot", "t", reconcile=True, max_deletes="90%")
    await control.send(harness.log, harness.bridge, request)
    seen: list[str] = []

    def interrupt(at: str) -> None:
        seen.append(at)
        if at == step and seen.count("chunk.after") >= 1:
            raise SnapshotInterrupted

    with pytest.raises(SnapshotInterrupted):
        await asyncio.wait_for(
            Capture(harness.deps(crash_point=interrupt), "two").run(), WAIT_TIMEOUT_S
        )
    async with harness.capturing("three"):
        await until(lambda: reported(harness, request.id))
    assert await deletes(harness) == dict.fromkeys(range(1, 201), 1)


async def test_rows_that_come_while_they_are_asked_for_are_not_deleted(tmp_path: Path) -> None:
    """A row that was gone comes back after the system was asked: the stream tells of it first."""
    async with lying(tmp_path) as harness:
        async with harness.capturing():
            drop(harness, 1, 2)
            request = control.request("erp", "snapshot", "t", reconcile=True)
            back: list[str] = []

            def come_back(at: str) -> None:
                if at == "high.before" and lies(harness).queries and not back:
                    back.append(at)
                    assert isinstance(harness.database, PolledStore)
                    harness.database.put({"id": 1, "a": "back", "b": 1})

        async with harness.capturing("two", crash_point=come_back):
            await control.send(harness.log, harness.bridge, request)
            await until(lambda: reported(harness, request.id))
            await harness.equal("t")
        assert back


async def test_a_truncate_that_the_stream_told_needs_no_person(
    tmp_path: Path, database: str
) -> None:
    async with open_harness(tmp_path, PostgresDatabase(database)) as pg:
        pg.run(
            "CREATE TABLE t (id bigint PRIMARY KEY, a text)",
            "INSERT INTO t SELECT i, 'row' FROM generate_series(1, 150) i",
        )
        await pg.declare("t")
        async with pg.capturing():
            pg.run("TRUNCATE t", "INSERT INTO t VALUES (7, 'after')")
            await pg.equal("t")
            assert not [notice for notice in pg.notices if isinstance(notice, EntityPaused)]


KEYS = {
    "bigint": ("-5", "9223372036854775807"),
    "numeric(20,4)": ("1.5", "-12345678901234.0001"),
    "numeric": ("1.50", "1e-20"),
    "text": ("'a b'", "'Ä%_\\\"'"),
    "char(5)": ("'x'", "'yy'"),
    "varchar(9)": ("'x '", "''"),
    "uuid": ("'6f1c0a52-1d1e-4d0e-9f5e-000000000001'", "'6F1C0A52-1D1E-4D0E-9F5E-000000000002'"),
    "date": ("'2026-01-31'", "'0044-03-15'"),
    "timestamptz": ("'2026-01-31 10:00:00.000001+05'", "'1999-12-31 23:59:59+00'"),
    "timestamp": ("'2026-01-31 10:00:00.5'", "'0001-01-01 00:00:00'"),
    "boolean": ("true", "false"),
}
"""Two values of each type that keys have."""


class HidesRows:
    """PostgreSQL's connector, whose chunks lack every row."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.hides = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def snapshot(self, system: System) -> Snapshot:
        inner: Any = await self._inner.snapshot(system)
        chunk = inner.chunk

        async def without_rows(*args: Any) -> Chunk:
            shown_chunk: Chunk = await chunk(*args)
            if self.hides:
                shown_chunk.rows = []
            return shown_chunk

        inner.chunk = without_rows
        hiding: Snapshot = inner
        return hiding


async def test_rows_are_found_again_by_keys_of_every_type(tmp_path: Path, database: str) -> None:
    """What is asked for is compared with what comes in the source's own form."""
    legacy = PostgresDatabase(database)
    hiding = HidesRows(legacy.connector)
    legacy.connector = hiding
    async with open_harness(tmp_path, legacy) as pg:
        names = []
        for at, (kind, values) in enumerate(KEYS.items()):
            names.append(f"t{at}")
            rows = ", ".join(f"({value}, {number}, 'x')" for number, value in enumerate(values))
            pg.run(
                f"CREATE TABLE t{at} (k {kind}, n int, note text, PRIMARY KEY (k, n))",
                f"INSERT INTO t{at} VALUES {rows}",
            )
        await pg.declare(*names)
        async with pg.capturing():
            before = {name: await pg.state(name, "k") for name in names}
            hiding.hides = True
            requests = [control.request("erp", "snapshot", name, reconcile=True) for name in names]
            for request in requests:
                await control.send(pg.log, pg.bridge, request)
            for request in requests:
                await until(partial(reported, pg, request.id))
        for name, kind in zip(names, KEYS, strict=True):
            deletes = [each for each in await pg.records(name) if each.op == "delete"]
            assert not deletes, f"{kind}: {deletes}"
            assert await pg.state(name, "k") == before[name]
        withheld = [each for each in pg.notices if isinstance(each, DeletesWithheld)]
        assert {(each.present, each.unasked) for each in withheld} == {(2, 0)}
        assert [each.entity for each in withheld] == [f"erp.{name}" for name in names]
