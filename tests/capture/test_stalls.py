"""Captures that run, and of which an entity makes no progress: reported since when, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.capture.report import status_record
from bridge.connector import Batch, Checkpoint, Source, System
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.model.work_progress import Stall, WorkProgress
from bridge.observe import WorkReported
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until
from tests.capture.polled_process import PolledStore
from tests.capture.test_refused import NeverThrough, RefusingConnector, polled_by, running

HOUR = 3_600_000_000
FORBIDDEN = ConfigurationError("403: the login has no right to read that")
LOCKED = RetryLater("the table is being changed")


class AwaySource(NeverThrough):
    """A source that answers until the system goes away."""

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        self._answer()
        return await super().open(after)

    async def read(self, limit: int, timeout: float) -> Batch:
        self._answer()
        return await super().read(limit, timeout)

    def _answer(self) -> None:
        connector = self._connector
        if isinstance(connector, Leaving) and connector.away is not None:
            raise connector.away


class Leaving(RefusingConnector):
    away: BridgeError | None = None

    async def source(self, system: System) -> Source:
        return AwaySource(self, system)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with polled_by(Leaving(), tmp_path) as opened_harness:
        yield opened_harness


def system(harness: CaptureHarness) -> Leaving:
    assert isinstance(harness.database.connector, Leaving)
    return harness.database.connector


async def report(harness: CaptureHarness) -> status_record.SourceStatus:
    return (await status_record.statuses(harness.log, BRIDGE))["erp"]


async def stalls(harness: CaptureHarness, *, later: int = 0) -> list[Stall]:
    """As of the last report, or a time later."""
    status = (await status_record.statuses(harness.log, BRIDGE)).get("erp")
    if status is None:
        return []
    # Whether the source itself answers is another question than these.
    return [each for each in status.stalls(status.at + later) if each.kind == "entity"]


async def test_a_first_snapshot_that_is_refused_again_and_again_is_a_stall_until_it_is_taken(
    harness: CaptureHarness,
) -> None:
    """Changes stream, the source answers, and the rows that were there before never come."""
    system(harness).refused["t"] = FORBIDDEN
    async with running(harness) as capture:
        await until(lambda: stalls(harness))
        [stall] = await stalls(harness)
        assert stall.name == "erp.t"
        assert str(FORBIDDEN) in stall.reason
        assert not (await report(harness)).healthy((await report(harness)).at)
        # Whoever watches in the process knows as much.
        await until(lambda: noticed(harness, "erp.t").lasting)
        assert noticed(harness, "erp.t").owed_since == stall.since
        await until(lambda: noticed(harness, "erp.u").owed_since is None)
        # Changes of the same entity are no progress of its snapshot.
        assert isinstance(harness.database, PolledStore)
        harness.database.put({"id": 1, "b": 1})
        await until(lambda: harness.records("t"))
        assert [each.since for each in await stalls(harness)] == [stall.since]
        system(harness).refused.clear()
        await until(lambda: "t" in capture.stats.progress.taken)
        await until(lambda: healthy(harness))


def noticed(harness: CaptureHarness, name: str) -> WorkProgress:
    """What was reported last of an entity."""
    reports = [each for each in harness.notices if isinstance(each, WorkReported)]
    return next(each for each in reports[-1].work if each.name == name)


async def healthy(harness: CaptureHarness) -> bool:
    status = await report(harness)
    return status.healthy(status.at)


async def test_a_snapshot_that_waits_is_a_stall_after_the_limit_also_over_a_restart(
    harness: CaptureHarness,
) -> None:
    """What passes by itself mostly does; after hours nobody believes it any more."""
    system(harness).refused["t"] = LOCKED
    async with running(harness):
        await until(lambda: locked(harness))
        [stall] = await stalls(harness, later=HOUR)
        assert stall.name == "erp.t"
        assert not await stalls(harness)
    async with running(harness) as capture:
        await until(lambda: capture.stats.waiting)
        await until(lambda: locked(harness))
        assert [each.since for each in await stalls(harness, later=HOUR)] == [stall.since]


async def locked(harness: CaptureHarness) -> bool:
    return any(str(LOCKED) in each.reason for each in await stalls(harness, later=HOUR))


async def test_a_quiet_source_that_answers_owes_nothing(harness: CaptureHarness) -> None:
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        await until(lambda: idle(harness))


async def idle(harness: CaptureHarness) -> bool:
    status = await report(harness)
    return {work.name for work in status.work(("t", "u")) if work.owed_since is not None} == {"erp"}


async def test_a_source_that_no_longer_answers_owes_since_its_last_answer_over_a_restart(
    harness: CaptureHarness,
) -> None:
    """Else a process that a supervisor restarts each ten seconds would look well for ever."""
    async with running(harness) as capture:
        await until(lambda: {"t", "u"} <= set(capture.stats.progress.taken))
        await until(lambda: idle(harness))
        system(harness).away = RetryLater("no route to host")
        await until(lambda: retrying(harness))
        before = await report(harness)
        [stall] = [s for s in before.stalls(before.at + HOUR) if s.kind == "capture"]
        assert (stall.since, stall.reason) == (before.progressed_at, "no route to host")
    async with running(harness) as capture:
        await until(lambda: capture.stats.state == "retrying")
        await until(lambda: retrying(harness, capture))
        after = await report(harness)
        # The last checkpoint may have been written when the report of it was cut off.
        assert 0 < after.progressed_at <= before.at


async def retrying(harness: CaptureHarness, capture: object = None) -> bool:
    status = await report(harness)
    return status.state == "retrying" and (capture is None or status.instance == "one")
