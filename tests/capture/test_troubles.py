"""Tables that can't be captured for now: each is told with its reason, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.capture.report import status_record
from bridge.capture.runner import Capture
from bridge.capture.table_shapes import describe_tables
from bridge.connector import Batch, Shape, Source, Stale, System
from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec
from bridge.observe import CaptureRemark, EntityState
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.capture.polled_process import TABLE, PolledStore
from tests.connectors.polled.fake import PolledConnector, PollingSource, store_of
from tests.connectors.polled.store import StoreTable


class WaitingSource(PollingSource):
    """Tells of tables that are not there; captures them once they are."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._lacking = [use.table for use in system.tables if use.table not in self._existing]
        kept = tuple(use for use in system.tables if use.table in self._existing)
        self._whole, self._system = system, replace(system, tables=kept)

    @property
    def _existing(self) -> Mapping[str, StoreTable]:
        return self._store.tables()

    async def read(self, limit: int, timeout: float) -> Batch:
        come = [table for table in self._lacking if table in self._existing]
        if come:
            self._lacking = [table for table in self._lacking if table not in come]
            kept = tuple(use for use in self._whole.tables if use.table not in self._lacking)
            self._system = replace(self._whole, tables=kept)
            await self.open(None)
        batch = await super().read(limit, timeout)
        batch.stale += [Stale((table,), "it was not there until now") for table in come]
        batch.troubles = {table: f"there is no table {table!r} yet" for table in self._lacking}
        # It changes with each look: that alone is not told again.
        batch.remarks = {"t": f"{id(batch)} rows are read"} if self._lacking else {}
        return batch


class WaitingConnector(PolledConnector):
    """Counts how often it is asked to describe tables."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, ...]] = []

    async def describe(self, system: System) -> Mapping[str, Shape]:
        self.queries.append(tuple(use.table for use in system.tables))
        store_of(system)
        return await super().describe(system)

    async def source(self, system: System) -> Source:
        return WaitingSource(system)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    legacy = PolledStore(tmp_path / "erp.json", compare=0.3)
    legacy.connector = WaitingConnector()
    async with open_harness(tmp_path, legacy) as opened_harness:
        opened_harness.entities = (EntitySpec("erp", "t", "t"), EntitySpec("erp", "u", "u"))
        yield opened_harness


@asynccontextmanager
async def running(capture: Capture) -> AsyncIterator[None]:
    """Capture for as long as the block."""
    task = asyncio.create_task(capture.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_table_that_is_not_there_is_told_and_captured_once_it_is(
    harness: CaptureHarness,
) -> None:
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put({"id": 1, "a": "old", "b": 1})
    capture = Capture(harness.deps(), "one")
    async with running(capture):
        await harness.equal("t")
        legacy.put({"id": 2, "a": "new", "b": 2})
        await harness.equal("t")
        assert capture.stats.troubles == {"u": "there is no table 'u' yet"}

        async def is_reported() -> bool:
            status = (await status_record.statuses(harness.log, BRIDGE)).get("erp")
            return status is not None and dict(status.troubles) == capture.stats.troubles

        await until(is_reported)
        status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
        assert status.remarks["t"].endswith("rows are read")
        assert [each.name for each in status.stalls(status.at)] == ["erp.u"], (
            "a remark is no trouble"
        )
        assert not status.healthy(status.at)

        with legacy.store.transaction() as tables:
            tables["u"] = replace(TABLE, rows={})
            legacy.store.put(tables["u"], {"id": 7, "a": "late", "b": 7})
        await harness.equal("t", "u")
        await until(lambda: not capture.stats.troubles)
    states = [each for each in harness.notices if isinstance(each, EntityState)]
    assert [(each.entity, each.state) for each in states] == [
        ("erp.u", "unavailable"),
        ("erp.u", "captured"),
    ]
    assert "there is no table 'u'" in states[0].reason
    remarks = [each for each in harness.notices if isinstance(each, CaptureRemark)]
    assert [each.entity for each in remarks] == ["erp.t", "erp.t"]
    assert remarks[1].reason == "it is captured in the best way again"


async def test_with_no_table_at_all_capture_ends_with_the_reason(harness: CaptureHarness) -> None:
    harness.entities = (EntitySpec("erp", "u", "u"), EntitySpec("erp", "v", "v"))
    with pytest.raises(ConfigurationError, match=r"table 'u' is not in .*; table 'v' is not in"):
        await Capture(harness.deps(), "one").run()


async def test_what_is_wrong_with_the_system_is_not_asked_for_each_table(
    harness: CaptureHarness,
) -> None:
    """A login that is refused again and again may be locked."""
    connector = harness.database.connector
    assert isinstance(connector, WaitingConnector)
    system = replace(harness.system(), url="polled:///nowhere")
    with pytest.raises(ConfigurationError, match="there is no file"):
        await describe_tables(connector, system)
    assert len(connector.queries) == 2


async def test_the_tables_that_are_there_are_found_among_many_by_halves(
    harness: CaptureHarness,
) -> None:
    connector = harness.database.connector
    assert isinstance(connector, WaitingConnector)
    many = tuple(replace(harness.system().tables[0], table=name) for name in ("t", "a", "b", "c"))
    shapes, why = await describe_tables(connector, replace(harness.system(), tables=many))
    assert set(shapes) == {"t"}
    assert list(why) == ["a", "b", "c"]
    assert "table 'b' is not in" in why["b"]
