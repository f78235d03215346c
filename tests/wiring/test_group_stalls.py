"""Groups with work to do that make no progress: since when, and why, also from another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.group import agent_group
from bridge.log.embedded import EmbeddedLog
from bridge.log.group_progress import GroupProgress
from bridge.log.port import Entry, Log, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.work_progress import Stall, WorkProgress
from bridge.observe import HandlerFailed, HandlerWaits, Notice, PartState, WorkReported
from bridge.wiring.group_reports import GroupReports
from bridge.wiring.group_stalls import group_stalls
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import open_erp
from tests.waiting import until

GROUP = "acme.agent.watcher"
HOUR = 3_600_000_000
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    opened = EmbeddedLog(tmp_path / "bridge.db", compact_every=None)
    await opened.open()
    yield opened
    await opened.close()


async def stalls(log: Log, later: int = 0) -> dict[str, Stall]:
    """As `status` has them, as if asked so much later."""
    groups = await log.groups()
    return await group_stalls(
        log, "acme", groups, set(groups), now=time.time_ns() // 1000 + later, stalled_after_s=900
    )


async def none_stalls(log: Log) -> bool:
    return not await stalls(log)


@asynccontextmanager
async def reporting(log: Log, *notices: Notice) -> AsyncIterator[GroupReports]:
    """Another process, in which this was noticed."""
    reports = GroupReports(log, "acme", "host-1")
    stop = asyncio.Event()
    for notice in notices:
        reports(notice)
    with reports.of(GROUP):
        async with reports.written(stop, every_s=0.01):
            yield reports
            stop.set()


def owed(since: int | None) -> WorkReported:
    return WorkReported((WorkProgress("group", GROUP, 0, since),))


async def test_a_member_that_waits_for_hours_is_a_stall_with_its_reason(log: Log) -> None:
    since = time.time_ns() // 1000 - 2 * HOUR
    why = PartState("agent", "watcher", "retrying", "handler check: erp is away")
    await log.create_topics([TopicSpec("t", partitions=1)])
    member = await log.join(GROUP, ["t"])
    await member.read(1, 0)
    async with reporting(log, owed(since), why) as reports:
        await until(lambda: stalls(log))
        assert await stalls(log) == {
            GROUP: Stall("group", GROUP, since, "handler check: erp is away")
        }
        # It gets on again.
        reports(owed(None))

        await until(lambda: none_stalls(log))
        reports(owed(since))
        await until(lambda: stalls(log))
    # What an ended process said last is taken back, or soon too old to be believed.
    await until(lambda: none_stalls(log))
    await member.close()


def test_a_handler_that_fails_or_waits_is_the_reason_until_it_no_longer_does(log: Log) -> None:
    reports = GroupReports(log, "acme", "host-1")

    def reason() -> str:
        [work] = reports.work
        return work.reason

    reports(owed(1))
    assert not reason()
    reports(
        HandlerFailed(
            "watcher", "check", "erp.t", "7", "erp:1", 3, 5, 60.0, "ValueError: no", "check.py:7"
        )
    )
    assert reason() == "handler check failed 3 times with event erp:1: ValueError: no"
    reports(HandlerWaits("watcher", "check", 2, 0.0, "erp", "erp is away"))
    assert reason() == "handler check waits: erp is away"
    reports(HandlerWaits("watcher", "check", 0, 0.0))
    assert not reason()


async def test_a_group_that_nobody_is_a_member_of_is_owed_to_since_its_oldest_unread_record(
    log: Log,
) -> None:
    await log.create_topics([TopicSpec("t", partitions=1)])
    partition = TopicPartition("t", 0)
    await log.append("t", [Entry(b"k", b"1"), Entry(b"k", b"2")])
    await log.reset_offsets(GROUP, {partition: 1})
    await log.reset_offsets("others.agent.watcher", {partition: 0})
    assert not await stalls(log)
    [stall] = (await stalls(log, later=HOUR)).values()
    assert stall.name == GROUP
    assert abs(stall.since - time.time_ns() // 1000) < HOUR / 2
    assert "no process is a member of it" in stall.reason
    await log.reset_offsets(GROUP, {partition: 2})
    assert not await stalls(log, later=HOUR)


async def test_records_of_something_else_are_left_out(log: Log) -> None:
    await log.create_topics([TopicSpec("_acme.status", "compact", 1)])
    await log.append(
        "_acme.status",
        [
            Entry(b"groups/x", value)
            for value in (b"{}", b"[1]", b'{"at":1,"groups":[{}]}', b"\xff")
        ],
    )
    assert not await stalls(log, later=HOUR)


async def test_an_agent_reports_what_it_owes_and_that_it_is_done(tmp_path: Path) -> None:
    agent = Agent("credit-watch", version="1")
    handled = asyncio.Event()

    @agent.on("erp.sales_order")
    async def wait(event: Event, ctx: Context) -> Command | None:
        while not handled.is_set():
            await asyncio.sleep(0.01)
        return None

    notices: list[Notice] = []

    def last() -> WorkProgress:
        reports = [notice for notice in notices if isinstance(notice, WorkReported)]
        return reports[-1].work[0] if reports else WorkProgress("group", "", 0)

    async with open_erp(tmp_path) as here:
        await here.publish("sales_order", 1, [here.order(1, 1, 5)])
        async with running(here, agent, notices):
            await until(lambda: last().owed_since is not None)
            assert last().name == agent_group("acme", "credit-watch")
            handled.set()
            await until(lambda: last().owed_since is None)
            assert last().progressed_at > 0


def test_what_is_finished_starts_the_time_of_the_rest_anew() -> None:
    now = NOON
    notices: list[Notice] = []
    progress = GroupProgress(GROUP, notices.append, lambda: now)

    def noted(*, owes: bool, progressed: bool) -> WorkProgress:
        nonlocal now
        now += timedelta(seconds=10)
        progress.note(owes=owes, progressed=progressed)
        notice = notices[-1]
        assert isinstance(notice, WorkReported)
        return notice.work[0]

    micros = int(NOON.timestamp()) * 1_000_000
    assert noted(owes=False, progressed=False).owed_since is None
    assert noted(owes=True, progressed=False).owed_since == micros + 20_000_000
    assert noted(owes=True, progressed=False).owed_since == micros + 20_000_000
    assert noted(owes=True, progressed=True).owed_since == micros + 40_000_000
    assert noted(owes=False, progressed=True).owed_since is None


class Denied(EmbeddedLog):
    """A log whose owner gives this process no right to report."""

    error: Exception

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        raise self.error


async def test_who_may_not_report_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else would know: `status` shows no stall of a group whose members say nothing."""
    log = Denied(tmp_path / "bridge.db", compact_every=None)
    log.error = ConfigurationError("topic _acme.status: not authorised")
    await log.open()
    async with reporting(log, owed(1)):
        await until(lambda: "not authorised" in caplog.text)
        log.error = RetryLater("the log is away")
        await asyncio.sleep(0)
    await log.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
