"""Reads of a table that the system refuses for now: nobody asks again but capture itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.capture import control
from bridge.capture.checkpoint.record import AFTERWARDS_PREFIX, SnapshotJob
from bridge.capture.contract import CaptureLimits
from bridge.capture.report import status_record
from bridge.capture.runner import Capture
from bridge.capture.snapshot.job_backoff import JobBackoff
from bridge.connector import Batch, Checkpoint, Chunk, Condition, Snapshot, Source, System
from bridge.model.errors import BridgeError, ConfigurationError, HistoryLost, Rejected
from bridge.observe import EntityPaused, SourceState
from tests.capture.databases import BRIDGE
from tests.capture.harness import QUICK, CaptureHarness, open_harness, until
from tests.capture.polled_process import TABLE, PolledStore
from tests.connectors.polled import fake

REFUSALS = [
    ConfigurationError("403: the login has no right to read that"),
    Rejected("not_found", "404: no such entity set"),
]


class RefusingConnector(fake.PolledConnector):
    """Refuses to have tables read, as a service does for a while; counts how often it was asked.
    With `looks` false it never gets through with looking at all of its tables. `lost`: it
    can't continue from where it was.
    """

    def __init__(self) -> None:
        self.refused: dict[str, BridgeError] = {}
        self.queries: list[str] = []
        self.looks = True
        self.counts = True
        self.lost = False

    async def snapshot(self, system: System) -> Snapshot:
        return RefusingSnapshot(self, system)

    async def source(self, system: System) -> Source:
        return NeverThrough(self, system)


class NeverThrough(fake.PollingSource):
    def __init__(self, connector: RefusingConnector, system: System) -> None:
        super().__init__(system)
        self._connector = connector

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        if self._connector.lost and after is not None:
            raise HistoryLost("the slot is gone")
        return await super().open(after)

    async def read(self, limit: int, timeout: float) -> Batch:
        batch = await super().read(limit, timeout)
        if not self._connector.looks:
            batch.polls = 0
        return batch


class RefusingSnapshot(fake.FileSnapshot):
    def __init__(self, connector: RefusingConnector, system: System) -> None:
        super().__init__(system)
        self._connector = connector

    def _perhaps(self, table: str) -> None:
        self._connector.queries.append(table)
        if table in self._connector.refused:
            raise self._connector.refused[table]

    async def count(self, table: str, where: Condition | None) -> int:
        if not self._connector.counts:
            raise Rejected("not_implemented", "$count is not supported")
        return await super().count(table, where)

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        self._perhaps(table)
        return await super().chunk(table, where, after, limit)

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        self._perhaps(table)
        return await super().keys(table, after, limit)


@asynccontextmanager
async def polled_by(connector: fake.PolledConnector, folder: Path) -> AsyncIterator[CaptureHarness]:
    """Two small tables, `t` and `u`, behind a connector that misbehaves."""
    legacy = PolledStore(folder / "erp.json", compare=0)
    legacy.connector = connector
    with legacy.store.transaction() as tables:
        tables["u"] = replace(TABLE, rows={})
    async with open_harness(folder, legacy) as opened_harness:
        await opened_harness.declare("t", "u")
        opened_harness.limits = replace(QUICK, rows=10)
        yield opened_harness


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with polled_by(RefusingConnector(), tmp_path) as opened_harness:
        yield opened_harness


def connector(harness: CaptureHarness) -> RefusingConnector:
    assert isinstance(harness.database.connector, RefusingConnector)
    return harness.database.connector


@asynccontextmanager
async def running(harness: CaptureHarness) -> AsyncIterator[Capture]:
    capture = Capture(harness.deps(), "one")
    task = asyncio.create_task(capture.run())
    try:
        yield capture
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def waiting(harness: CaptureHarness, why: str) -> None:
    """Until status tells of a snapshot that it waits because of that."""

    async def is_reported() -> bool:
        status = (await status_record.statuses(harness.log, BRIDGE)).get("erp")
        return status is not None and any(why in job["waiting"] for job in status.snapshots)

    await until(is_reported)


@pytest.mark.parametrize("refusal", REFUSALS, ids=["403", "404"])
async def test_a_first_snapshot_that_is_refused_for_a_while_is_taken_afterwards(
    harness: CaptureHarness, refusal: BridgeError
) -> None:
    """Given up, the rows that were there before would be missing in the log for ever."""
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put(*({"id": key, "b": key} for key in range(30)))
    connector(harness).refused["t"] = refusal
    async with running(harness) as capture:
        await waiting(harness, str(refusal))
        # The other one does not wait behind it.
        await until(lambda: "u" in capture.stats.progress.taken)
        reasons = [each.reason for each in harness.notices if isinstance(each, SourceState)]
        assert reasons.count(f"snapshots wait: {refusal}") == 1
        before, began = len(connector(harness).queries), time.monotonic()
        await asyncio.sleep(0.5)
        tries, passed = len(connector(harness).queries) - before, time.monotonic() - began
        assert tries < 5 + passed / harness.limits.longest_backoff, (
            "it is asked more and more seldom"
        )
        del connector(harness).refused["t"]
        await harness.equal("t")
        await until(lambda: "t" in capture.stats.progress.taken)
        assert not [result for result in capture.stats.progress.results if result.failed]
        await until(lambda: not capture.stats.waiting)


async def test_a_system_that_does_not_count_its_rows_is_snapshot_all_the_same(
    harness: CaptureHarness,
) -> None:
    """The number is for people alone."""
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put(*({"id": key, "b": key} for key in range(30)))
    connector(harness).counts = False
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        await harness.equal("t")


async def test_a_comparison_that_is_refused_for_a_while_is_made_afterwards(
    harness: CaptureHarness,
) -> None:
    """Nothing else tells which rows went while nobody looked."""
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put(*({"id": key, "b": key} for key in range(10, 60)))
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        await until(lambda: not capture.stats.progress.jobs)
    legacy.drop(*range(20, 30))
    harness.database = PolledStore(legacy.store.path, compare=0.2)
    harness.database.connector = legacy.connector
    connector(harness).refused["t"] = REFUSALS[0]
    async with running(harness) as capture:
        await waiting(harness, str(REFUSALS[0]))
        del connector(harness).refused["t"]
        await harness.equal("t")
        assert not [result for result in capture.stats.progress.results if result.failed]


async def test_what_follows_from_a_loss_that_was_accepted_is_not_given_up(
    harness: CaptureHarness,
) -> None:
    """Nobody waits for it: given up, the log would hold for ever what went meanwhile."""
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put(*({"id": key, "b": key} for key in range(20)))
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        await until(lambda: not capture.stats.progress.jobs)
    legacy.drop(*range(5, 10))
    connector(harness).lost = True
    connector(harness).refused["t"] = REFUSALS[0]
    await control.send(harness.log, BRIDGE, control.request("erp", "accept_loss"))
    async with running(harness) as capture:
        await waiting(harness, str(REFUSALS[0]))
        del connector(harness).refused["t"]
        await harness.equal("t")
        assert not [result for result in capture.stats.progress.results if result.failed]
        assert capture.stats.progress.epoch == 1


async def test_a_snapshot_that_a_person_asked_for_ends_with_the_reason(
    harness: CaptureHarness,
) -> None:
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        connector(harness).refused["t"] = REFUSALS[0]
        request = control.request("erp", "snapshot", "t")
        await control.send(harness.log, BRIDGE, request)

        def ended() -> list[str]:
            return [
                result.failed
                for result in capture.stats.progress.results
                if result.id == request.id
            ]

        await until(ended)
        assert ended() == [str(REFUSALS[0])]


async def test_an_entity_that_can_not_be_compared_after_its_pause_is_paused_again(
    harness: CaptureHarness,
) -> None:
    """Else it would go on without what was left out meanwhile, and nobody would know."""
    legacy = harness.database
    assert isinstance(legacy, PolledStore)
    legacy.put({"id": 1, "b": 1})
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        with legacy.store.transaction() as tables:
            tables["t"] = replace(tables["t"], columns=TABLE.columns | {"b": "string"})
        legacy.put({"id": 2, "b": "two"})
        await until(lambda: "t" in capture.stats.progress.paused)
        with legacy.store.transaction() as tables:
            tables["t"] = replace(tables["t"], columns=TABLE.columns)
        legacy.put({"id": 2, "b": 2}, {"id": 3, "b": 3})
        connector(harness).refused["t"] = REFUSALS[0]
        request = control.request("erp", "resume", "t")
        await control.send(harness.log, BRIDGE, request)

        def ended() -> list[str]:
            return [
                result.failed
                for result in capture.stats.progress.results
                if result.id == request.id
            ]

        await until(ended)
        assert str(REFUSALS[0]) in ended()[0]
        assert "--resume" in capture.stats.progress.paused["t"].reason
        assert [n.entity for n in harness.notices if isinstance(n, EntityPaused)] == ["erp.t"] * 2
        del connector(harness).refused["t"]
        await control.send(harness.log, BRIDGE, control.request("erp", "resume", "t"))
        await harness.equal("t")
        assert not capture.stats.progress.paused


async def test_what_waits_for_looks_of_the_source_is_overtaken(harness: CaptureHarness) -> None:
    """One entity set that always fails must not keep people from snapshots of the others."""
    connector(harness).looks = False
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        jobs = capture.stats.progress.jobs
        assert {job.id.partition("-")[0] for job in jobs} == {"afterwards"}
        request = control.request("erp", "snapshot", "u")
        await control.send(harness.log, BRIDGE, request)
        await until(
            lambda: any(result.id == request.id for result in capture.stats.progress.results)
        )


def test_the_first_job_that_can_go_on_is_the_next_one() -> None:
    limits = CaptureLimits(backoff=1, longest_backoff=3)
    backoff = JobBackoff(limits)
    late, refused, other = (
        SnapshotJob(f"{AFTERWARDS_PREFIX}t-1", "t"),
        SnapshotJob("first-u", "u"),
        SnapshotJob("abc", "v"),
    )
    jobs = [late, refused, other]
    assert backoff.first(jobs, 0) is refused
    waits: list[int] = []
    for _ in range(4):
        now = 10.0 * len(waits)
        backoff.refuse(refused, "no", now)
        assert backoff.first(jobs, now) is other
        waits.append(next(s for s in (1, 2, 3, 4) if backoff.first(jobs, now + s) is refused))
    assert waits == [1, 2, 3, 3]
    assert backoff.reasons == {"first-u": "no"}
    backoff.succeed(refused)
    assert not backoff.reasons
    backoff.note_polls(2)
    assert backoff.first(jobs, 0) is late
    assert backoff.first([], 0) is None
