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
from tests.capture.legacy import BRIDGE
from tests.capture.polled import PolledLegacy
from tests.capture.rig import Rig, until
from tests.capture.test_refused import NeverThrough, Refusing, polled_by, running

HOUR = 3_600_000_000
FORBIDDEN = ConfigurationError("403: the login has no right to read that")
LOCKED = RetryLater("the table is being changed")


class Away(NeverThrough):
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


class Leaving(Refusing):
    away: BridgeError | None = None

    async def source(self, system: System) -> Source:
        return Away(self, system)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with polled_by(Leaving(), tmp_path) as made:
        yield made


def system(rig: Rig) -> Leaving:
    assert isinstance(rig.legacy.connector, Leaving)
    return rig.legacy.connector


async def report(rig: Rig) -> status_record.Status:
    return (await status_record.statuses(rig.log, BRIDGE))["erp"]


async def stalls(rig: Rig, *, later: int = 0) -> list[Stall]:
    """As of the last report, or a time later."""
    found = (await status_record.statuses(rig.log, BRIDGE)).get("erp")
    if found is None:
        return []
    # Whether the source itself answers is another question than these.
    return [each for each in found.stalls(found.at + later) if each.kind == "entity"]


async def test_a_first_snapshot_that_is_refused_again_and_again_is_a_stall_until_it_is_taken(
    rig: Rig,
) -> None:
    """Changes stream, the source answers, and the rows that were there before never come."""
    system(rig).refused["t"] = FORBIDDEN
    async with running(rig) as capture:
        await until(lambda: stalls(rig))
        [stall] = await stalls(rig)
        assert stall.name == "erp.t"
        assert str(FORBIDDEN) in stall.reason
        assert not (await report(rig)).healthy((await report(rig)).at)
        # Whoever watches in the process knows as much.
        await until(lambda: noticed(rig, "erp.t").lasting)
        assert noticed(rig, "erp.t").owed_since == stall.since
        await until(lambda: noticed(rig, "erp.u").owed_since is None)
        # Changes of the same entity are no progress of its snapshot.
        assert isinstance(rig.legacy, PolledLegacy)
        rig.legacy.put({"id": 1, "b": 1})
        await until(lambda: rig.told("t"))
        assert [each.since for each in await stalls(rig)] == [stall.since]
        system(rig).refused.clear()
        await until(lambda: "t" in capture.pulse.progress.taken)
        await until(lambda: healthy(rig))


def noticed(rig: Rig, name: str) -> WorkProgress:
    """What was reported last of an entity."""
    reports = [each for each in rig.notices if isinstance(each, WorkReported)]
    return next(each for each in reports[-1].work if each.name == name)


async def healthy(rig: Rig) -> bool:
    found = await report(rig)
    return found.healthy(found.at)


async def test_a_snapshot_that_waits_is_a_stall_after_the_limit_also_over_a_restart(
    rig: Rig,
) -> None:
    """What passes by itself mostly does; after hours nobody believes it any more."""
    system(rig).refused["t"] = LOCKED
    async with running(rig):
        await until(lambda: locked(rig))
        [stall] = await stalls(rig, later=HOUR)
        assert stall.name == "erp.t"
        assert not await stalls(rig)
    async with running(rig) as capture:
        await until(lambda: capture.pulse.waiting)
        await until(lambda: locked(rig))
        assert [each.since for each in await stalls(rig, later=HOUR)] == [stall.since]


async def locked(rig: Rig) -> bool:
    return any(str(LOCKED) in each.reason for each in await stalls(rig, later=HOUR))


async def test_a_quiet_source_that_answers_owes_nothing(rig: Rig) -> None:
    async with running(rig) as capture:
        await until(lambda: {"t", "u"} <= set(capture.pulse.progress.taken))
        await until(lambda: idle(rig))


async def idle(rig: Rig) -> bool:
    found = await report(rig)
    return {work.name for work in found.work(("t", "u")) if work.owed_since is not None} == {"erp"}


async def test_a_source_that_no_longer_answers_owes_since_its_last_answer_over_a_restart(
    rig: Rig,
) -> None:
    """Else a process that a supervisor restarts each ten seconds would look well for ever."""
    async with running(rig) as capture:
        await until(lambda: {"t", "u"} <= set(capture.pulse.progress.taken))
        await until(lambda: idle(rig))
        system(rig).away = RetryLater("no route to host")
        await until(lambda: retrying(rig))
        before = await report(rig)
        [stall] = [s for s in before.stalls(before.at + HOUR) if s.kind == "capture"]
        assert (stall.since, stall.reason) == (before.progressed_at, "no route to host")
    async with running(rig) as capture:
        await until(lambda: capture.pulse.state == "retrying")
        await until(lambda: retrying(rig, capture))
        after = await report(rig)
        assert 0 < after.progressed_at <= before.progressed_at


async def retrying(rig: Rig, capture: object = None) -> bool:
    found = await report(rig)
    return found.state == "retrying" and (capture is None or found.instance == "one")
