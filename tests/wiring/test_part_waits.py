"""What parts of one process wait for is known in another: `bridgectl status` says it at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log
from bridge.observe import HandlerWaits, PartState
from bridge.wiring.group_reports import GroupReports, reported_waits
from bridge.wiring.part_waits import PartWait, PartWaits, dump_waits, load_wait
from tests.waiting import until

NOW_S = 1_800_000_000.0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    yield log
    await log.close()


def collector(changes: list[int]) -> PartWaits:
    return PartWaits(lambda: changes.append(1), lambda: 7)


def test_a_handlers_wait_says_more_than_its_agents() -> None:
    changes: list[int] = []
    waits = collector(changes)
    waits(PartState("agent", "watch", "running"))
    assert waits.waits == []
    waits(PartState("agent", "watch", "retrying", "handler check waits"))
    waits(HandlerWaits("watch", "check", 3, NOW_S, "erp", "no answer"))
    waits(HandlerWaits("watch", "check", 9, NOW_S, "erp", "no answer"))
    since = int(NOW_S * 1_000_000)
    assert waits.waits == [
        PartWait("handler", "watch", since, "no answer", "retrying", "check", "erp", 9)
    ]
    assert len(changes) == 2, "each try is no change"
    waits(HandlerWaits("watch", "check", 0, NOW_S))
    waits(PartState("agent", "watch", "running"))
    assert waits.waits == []
    assert len(changes) == 4


def test_since_when_is_since_the_first_try_whatever_the_reason_is_now() -> None:
    times = iter([5, 9])
    waits = PartWaits(lambda: None, lambda: next(times))
    waits(PartState("reads", "erp", "retrying", "refused"))
    waits(PartState("reads", "erp", "retrying", "no answer"))
    assert waits.waits == [PartWait("reads", "erp", 5, "no answer")]
    waits(PartState("reads", "erp", "opened"))
    assert waits.waits == []
    waits(PartState("commands", "erp", "failed", "no ledger"))
    assert waits.waits == [PartWait("commands", "erp", 9, "no ledger", "failed")]


def test_waits_survive_their_way_through_the_log() -> None:
    wait = PartWait("handler", "watch", 5, "why", "retrying", "check", "erp", 9)
    assert [load_wait(each) for each in dump_waits([wait])] == [wait]


async def test_another_process_knows_at_once_and_the_end_of_it_too(log: Log) -> None:
    reports = GroupReports(log, "acme", "host-1")
    stop = asyncio.Event()

    async def reasons() -> list[str]:
        waits = await reported_waits(log, "acme", time.time_ns() // 1000)
        return [wait.reason for wait in waits]

    async def over() -> bool:
        return not await reasons()

    async with reports.written(stop, every_s=600):
        reports(PartState("reads", "erp", "retrying", "the login is refused"))
        await until(reasons)
        assert await reasons() == ["the login is refused"]
        reports(PartState("reads", "erp", "running"))
        await until(over)
        stop.set()
