"""Capture of a source without transactions, order, old rows and deletes: what it makes of that."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.capture.report import status_record
from bridge.connector import Batch, Chunk, Condition, Snapshot, Stale, System
from bridge.model.errors import RetryLater
from bridge.model.position import parse_position
from tests.capture.databases import BRIDGE
from tests.capture.harness import QUICK, CaptureHarness, ChangeRecord, open_harness, until
from tests.capture.polled_process import PolledStore
from tests.connectors.polled import fake

SMALL = replace(QUICK, rows=40)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with open_harness(
        tmp_path, PolledStore(tmp_path / "erp.json", compare=0.3)
    ) as opened_harness:
        await opened_harness.declare("t")
        opened_harness.limits = SMALL
        yield opened_harness


def legacy(harness: CaptureHarness) -> PolledStore:
    assert isinstance(harness.database, PolledStore)
    return harness.database


def load(store: PolledStore, dice: random.Random, number: int) -> None:
    key = dice.randrange(1, 150)
    if dice.random() < 0.25:
        store.drop(key, key + 1)
    else:
        store.put({"id": key, "a": "load", "b": number}, {"id": 200 + number % 20, "b": number})


def in_order(records: list[ChangeRecord]) -> list[ChangeRecord]:
    return sorted(
        (record for record in records if record.change), key=lambda record: record.record.offset
    )


async def check_log(harness: CaptureHarness) -> None:
    """What every reader may rely on: unique, growing positions; no old rows; no promise broken."""
    records = await harness.records("t")
    positions = [record.change["position"] for record in in_order(records) if record.change]
    assert len(set(positions)) == len(positions)
    for key in {record.key["id"] for record in records}:
        here = [record.change["position"] for record in in_order(records)
                if record.change and record.key["id"] == key]  # fmt: skip
        assert here == sorted(here)
    assert all(record.change["before"] is None for record in records if record.change)
    assert all(parse_position(position) is not None for position in positions)


async def test_changes_get_counted_positions_and_deletes_come_by_comparing(
    harness: CaptureHarness,
) -> None:
    legacy(harness).put(*({"id": key, "a": "row", "b": key} for key in range(1, 101)))
    async with harness.capturing():
        dice = random.Random(1)  # noqa: S311 - a seeded load
        for number in range(150):
            load(legacy(harness), dice, number)
            await asyncio.sleep(0.003)
        await harness.equal("t")
        deletes = [record for record in await harness.records("t") if record.op == "delete"]
        assert deletes
        assert all(record.change and record.change["after"] is None for record in deletes)
        reads = [record for record in await harness.records("t") if record.op == "read"]
        assert len(reads) <= 100, "comparing keys reads no row into the log again"
    await check_log(harness)


async def test_a_listing_of_keys_is_asked_for_once_while_one_is_under_way(
    harness: CaptureHarness,
) -> None:
    legacy(harness).put(*({"id": key, "b": key} for key in range(1, 50)))
    async with harness.capturing() as capture:

        async def several() -> bool:
            jobs = [job for job in capture.stats.progress.jobs if job.deletes_only]
            assert len(jobs) <= 1
            return len(capture.stats.progress.results) >= 4

        await until(several)
        listed = [
            result for result in capture.stats.progress.results if result.id.startswith("stale")
        ]
        assert {(result.rows, result.deleted, result.failed) for result in listed} == {(0, 0, "")}


class Forgetful(fake.PolledConnector):
    """After some time its changes are gone, as behind an expired token: it says so, once."""

    def __init__(self) -> None:
        self.lost: list[int] = []

    async def source(self, system: System) -> fake.PollingSource:
        return Expired(system, self.lost)


class Expired(fake.PollingSource):
    def __init__(self, system: System, lost: list[int]) -> None:
        super().__init__(system)
        self._lost = lost

    async def read(self, limit: int, timeout: float) -> Batch:
        if self._lost == [1]:
            # Everything up to now is forgotten; what comes later is told again.
            self._lost.append(2)
            await self.open(None)
            return Batch([], self._checkpoint(), 0, stale=[Stale(("t",), "the token expired")])
        if self._lost in ([0], [0, 0]):
            self._lost[:] = [0, 0]
            await asyncio.sleep(timeout)
            return Batch([], self._checkpoint(), 0)
        return await super().read(limit, timeout)


async def test_what_a_source_lost_is_read_again_and_its_deletes_are_written(
    tmp_path: Path,
) -> None:
    source = PolledStore(tmp_path / "erp.json", compare=0)
    connector = Forgetful()
    source.connector = connector
    source.put(*({"id": key, "b": key} for key in range(1, 81)))
    async with open_harness(tmp_path, source) as harness:
        await harness.declare("t")
        harness.limits = SMALL
        async with harness.capturing():
            await harness.equal("t")
            connector.lost.append(0)
            await until(lambda: connector.lost == [0, 0])
            source.drop(*range(1, 20))
            source.put(*({"id": key, "b": -key} for key in range(30, 40)), {"id": 500, "b": 1})
            connector.lost[:] = [1]
            await harness.equal("t")

            async def reported() -> bool:
                results = (await status_record.statuses(harness.log, BRIDGE))["erp"].results
                return any(result["id"].startswith("stale-t-") for result in results)

            await until(reported)
        (result,) = [each for each in (await status_record.statuses(harness.log, BRIDGE))["erp"].results
                     if each["id"].startswith("stale-t-")]  # fmt: skip
        assert result["deleted"] == 19
        await check_log(harness)


@pytest.mark.usefixtures("processes")
async def test_capture_killed_again_and_again_counts_on_and_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL of the process at any moment; positions are counted on from the checkpoint record."""
    source = PolledStore(tmp_path / "erp.json", compare=0.3)
    source.put(*({"id": key, "a": "row", "b": key} for key in range(1, 101)))
    dice = random.Random(2)  # noqa: S311 - a seeded load
    for number in range(5):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.capture.polled_process", str(tmp_path), f"child{number}"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        source.put({"id": 0, "b": number})
        assert await asyncio.wait_for(child.stdout.readline(), 60)
        for step in range(dice.randrange(20, 80)):
            load(source, dice, 1000 * number + step)
            await asyncio.sleep(0.02)
        child.kill()
        await child.wait()
    async with open_harness(tmp_path, source) as harness:
        await harness.declare("t")
        harness.limits = SMALL
        async with harness.capturing("last"):
            await harness.equal("t")
        assert len(in_order(await harness.records("t"))) > 180
        await check_log(harness)


class BusyConnector(fake.PolledConnector):
    """Its source is told to come back later, once."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []

    async def source(self, system: System) -> fake.PollingSource:
        self.asked_at.append(asyncio.get_running_loop().time())
        if len(self.asked_at) == 1:
            raise RetryLater("the ERP is busy", after=1.0)
        return fake.PollingSource(system)


async def test_capture_leaves_a_system_alone_for_as_long_as_it_asked(tmp_path: Path) -> None:
    source, connector = PolledStore(tmp_path / "erp.json"), BusyConnector()
    source.connector = connector
    async with open_harness(tmp_path, source) as harness:
        await harness.declare("t")
        async with harness.capturing():
            pass
    first, second = connector.asked_at
    assert second - first >= 1.0 > 5 * harness.limits.longest_backoff


class Fleeting(fake.PolledConnector):
    """While its first chunk is read a row comes and goes: no look at the table ever shows it."""

    def __init__(self, database: PolledStore) -> None:
        self.database = database

    async def snapshot(self, system: System) -> Snapshot:
        return Caught(system, self.database)


class Caught(fake.FileSnapshot):
    def __init__(self, system: System, database: PolledStore) -> None:
        super().__init__(system)
        self._legacy = database
        self._missed = False

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        if self._missed:
            return await super().chunk(table, where, after, limit)
        self._missed = True
        self._legacy.put({"id": 77, "b": 77})
        chunk_with_row = await super().chunk(table, where, after, limit)
        self._legacy.drop(77)
        return chunk_with_row


async def test_a_row_that_was_read_and_went_between_two_looks_goes_from_the_log_too(
    tmp_path: Path,
) -> None:
    source = PolledStore(tmp_path / "erp.json", compare=0)
    source.connector = Fleeting(source)
    source.put({"id": 1, "b": 1})
    async with open_harness(tmp_path, source) as harness:
        await harness.declare("t")
        async with harness.capturing() as capture:
            await harness.equal("t")
            # It was in the log, so that what made it go was not luck.
            assert [
                record.op for record in await harness.records("t") if record.key["id"] == 77
            ] == [
                "read",
                "delete",
                "tombstone",
            ]

            async def reported() -> bool:
                results = capture.stats.progress.results
                return any(
                    record.id.startswith("afterwards-") and record.deleted for record in results
                )

            await until(reported)


class Missed(fake.PolledConnector):
    """Says once that rows went; one of them while its keys are listed, behind where the listing is."""

    def __init__(self) -> None:
        self.drop: list[int] = []
        self.stale = 0
        self.harness: CaptureHarness | None = None

    async def source(self, system: System) -> fake.PollingSource:
        return _Telling(system, self)

    async def snapshot(self, system: System) -> Snapshot:
        return _Listing(system, self)


class _Telling(fake.PollingSource):
    def __init__(self, system: System, missed: Missed) -> None:
        super().__init__(system)
        self._missed = missed

    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        if self._missed.stale:
            self._missed.stale -= 1
            batch.stale.append(Stale(("t",), "rows were deleted", deletes_only=True, once=True))
        return batch


class _Listing(fake.FileSnapshot):
    def __init__(self, system: System, missed: Missed) -> None:
        super().__init__(system)
        self._missed = missed

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        chunk = await super().keys(table, after, limit)
        if self._missed.drop and after is None:
            assert self._missed.harness is not None
            legacy(self._missed.harness).drop(self._missed.drop.pop())
            self._missed.stale += 1
        return chunk


async def test_a_delete_that_is_told_once_amid_a_comparison_is_not_lost(tmp_path: Path) -> None:
    source = PolledStore(tmp_path / "erp.json", compare=0)
    source.connector = missed = Missed()
    source.put(*({"id": key, "b": key} for key in range(1, 81)))
    async with open_harness(tmp_path, source) as harness:
        await harness.declare("t")
        harness.limits = SMALL
        missed.harness = harness
        async with harness.capturing():
            await harness.equal("t")
            # The keys are in the order of their texts: 10 is on the first page.
            source.drop(50)
            missed.drop.append(10)
            missed.stale += 1
            # The comparison after the snapshot may still run, and find by itself that 50 is gone.
            await until(lambda: not missed.drop)
            await harness.equal("t")
        assert 10 not in await harness.state("t")
