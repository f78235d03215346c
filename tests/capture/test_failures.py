"""What breaks is waited for; what can't be fixed stops the source with a sentence."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bridge.capture import control
from bridge.capture.report import status_record
from bridge.capture.runner import Capture
from bridge.connector import Batch, Connector, Source, System
from bridge.log.port import Entry, Log, Producer, Transaction
from bridge.model.errors import (
    ConfigurationError,
    Fenced,
    HistoryLost,
    OutcomeUnknown,
    RetryLater,
)
from bridge.observe import SourceState
from connectors.journal.source import WRITE_TIMEOUT_S
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until
from tests.waiting import STOP_TIMEOUT_S, WAIT_TIMEOUT_S

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)"


class BreakingLog:
    """A log whose transactions break when the test says so."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.away: list[Exception] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def producer(self, transactional_id: str) -> Producer:
        if self.away:
            raise self.away.pop(0)
        return BreakingLogProducer(self, await self._log.producer(transactional_id))


class BreakingLogProducer:
    """Its producer: an error before a commit aborts it, one after it follows the commit."""

    def __init__(self, log: BreakingLog, producer: Producer) -> None:
        self._log = log
        self._producer = producer

    @property
    def transactional_id(self) -> str:
        return self._producer.transactional_id

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._producer.transaction() as transaction:
            yield transaction
            if self._log.before:
                raise self._log.before.pop(0)
        if self._log.after:
            raise self._log.after.pop(0)

    async def close(self) -> None:
        await self._producer.close()


async def ops(harness: CaptureHarness) -> list[tuple[int, str]]:
    return sorted((record.key["id"], record.op) for record in await harness.records("t"))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [RetryLater, OutcomeUnknown])
async def test_a_commit_that_failed_or_whose_answer_was_lost_is_neither_lost_nor_repeated(
    harness: CaptureHarness, when: str, error: type[Exception]
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    broken = BreakingLog(harness.log)
    async with harness.capturing(log=broken):
        getattr(broken, when).extend([error("away"), error("away")])
        for number in range(30):
            harness.run(f"INSERT INTO t VALUES ({number}, 'x')")
            await asyncio.sleep(0.005)
        await harness.equal("t")
        await until(lambda: not getattr(broken, when))
    assert await ops(harness) == [(number, "create") for number in range(30)]


async def test_a_log_that_is_away_at_the_start_is_waited_for(harness: CaptureHarness) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await harness.declare("t")
    broken = BreakingLog(harness.log)
    broken.away = [RetryLater("the broker is away")] * 3
    async with harness.capturing(log=broken):
        await harness.equal("t")
    retries = [n for n in harness.notices if isinstance(n, SourceState) and n.state == "retrying"]
    assert [notice.reason for notice in retries] == ["the broker is away"] * 3


class BreakingOff:
    """A connector whose sources break off at their first read; tells when each was opened."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.opened: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    async def source(self, system: System) -> Source:
        self.opened.append(time.monotonic())
        source = await self._connector.source(system)
        source.read = self._read  # type: ignore[method-assign]
        return source

    async def _read(self, limit: int, timeout: float) -> Batch:
        raise RetryLater(f"broke off in a read of {limit} changes within {timeout} s")


async def test_a_connection_that_breaks_off_soon_each_time_is_opened_ever_less_often(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    connector = BreakingOff(harness.database.connector)
    limits = replace(harness.limits, backoff=0.2, longest_backoff=5.0)
    random.seed(7)  # What tenacity draws its waits from: uniform below 0.2, 0.4, 0.8, 1.6 s.
    waits = random.Random(7)  # noqa: S311 - no secret
    least = [waits.uniform(0, 0.2 * 2**number) for number in range(4)]
    running = asyncio.create_task(
        Capture(harness.deps(connector=connector, limits=limits), "one").run()
    )
    await until(lambda: len(connector.opened) > len(least))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert connector.opened[-1] - connector.opened[0] >= sum(least)


async def test_capture_ends_soon_while_the_legacy_program_holds_its_lock(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    steps: list[str] = []
    async with harness.capturing(crash_point=steps.append):
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
        harness.run("BEGIN IMMEDIATE", "INSERT INTO t VALUES (2, 'y')")
        steps.clear()
        # Its watermark is written into the database, so it waits for the lock.
        await control.send(harness.log, BRIDGE, control.request("erp", "snapshot", "t"))
        await until(lambda: "low.before" in steps)
        began = time.monotonic()
    assert time.monotonic() - began < STOP_TIMEOUT_S
    assert WRITE_TIMEOUT_S < 3, "so long it waits for the lock, and five seconds are promised"
    harness.run("COMMIT")
    async with harness.capturing("two"):
        await harness.equal("t")


async def test_a_second_instance_ends_the_first_in_order(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    first = Capture(harness.deps(), "one")
    running = asyncio.create_task(first.run())
    await until(lambda: first.stats.state == "streaming")
    async with harness.capturing("two"):
        with pytest.raises(Fenced):
            await asyncio.wait_for(running, WAIT_TIMEOUT_S)
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
    assert await ops(harness) == [(1, "create")]
    assert first.stats.state == "stopped"


async def test_an_instance_that_was_fenced_by_nobody_goes_on(harness: CaptureHarness) -> None:
    """A broker fences the owner of a transaction that took too long; and whoever takes over may
    die before it has begun. Else nobody would capture any more.
    """
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing("one", limits=replace(harness.limits, successor=0.5)) as capture:
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
        await (await harness.log.producer(f"{BRIDGE}.capture.erp")).close()
        harness.run("INSERT INTO t VALUES (2, 'y')")
        await harness.equal("t")
        assert capture.stats.state == "streaming"
    assert await ops(harness) == [(1, "create"), (2, "create")]


async def test_an_instance_that_was_cut_off_from_the_log_does_not_fence_its_successor(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    broken = BreakingLog(harness.log)
    first = Capture(harness.deps(log=broken), "one")
    running = asyncio.create_task(first.run())
    await until(lambda: first.stats.state == "streaming")
    async with harness.capturing("two"):
        broken.before.append(RetryLater("cut off"))
        with pytest.raises(Fenced):
            await asyncio.wait_for(running, WAIT_TIMEOUT_S)
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")


async def test_lost_history_stops_the_source_until_somebody_accepts_the_loss(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    lose_history(harness)
    with pytest.raises(HistoryLost):
        await asyncio.wait_for(Capture(harness.deps(), "two").run(), WAIT_TIMEOUT_S)
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    assert status.state == "stopped"
    assert status.reason
    await control.send(harness.log, BRIDGE, control.request("erp", "accept_loss"))
    async with harness.capturing("three") as capture:
        await until(lambda: not capture.stats.progress.jobs)
        await harness.equal("t")
        assert capture.stats.progress.epoch == 1
    ops_of = [record.op for record in await harness.records("t") if record.key["id"] == 1]
    assert ops_of == ["read", "delete", "tombstone"]


def lose_history(harness: CaptureHarness) -> None:
    """What restoring an older database does: the journal begins again, unseen deletes included."""
    _, names = harness.database.rows(
        "SELECT type, name FROM sqlite_schema WHERE name LIKE 'bridge_%' AND type IN "
        "('trigger', 'table')"
    )
    for kind, name in sorted(names, reverse=True):
        harness.run(f'DROP {kind} IF EXISTS "{name}"')
    harness.run("DELETE FROM t WHERE id = 1")
    from connectors.journal import connector

    for statement in connector.setup_sql(harness.system()):
        harness.run(statement)


async def test_a_missing_table_stops_the_source_with_a_sentence(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    harness.run("DROP TABLE t")
    with pytest.raises(ConfigurationError, match="'t'"):
        await asyncio.wait_for(Capture(harness.deps(), "one").run(), WAIT_TIMEOUT_S)


async def test_a_record_that_is_no_report_leaves_the_reports_readable(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing():
        rubbish = (b"rubbish", b"[1]", b"{}", b"\xff", b"[" * 100_000)
        entries = [Entry(b"x%d" % at, value) for at, value in enumerate(rubbish)]
        await harness.log.append(
            status_record.topic(BRIDGE).name, [Entry(b"\xff", b"{}"), *entries]
        )
        assert set(await status_record.statuses(harness.log, BRIDGE)) == {"erp"}


async def test_the_status_record_tells_age_and_lag(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing():
        harness.run("INSERT INTO t VALUES (1, 'x')")
        await harness.equal("t")
        await until(lambda: counted(harness))
        status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    assert status.state == "streaming"
    assert status.age(status.at) < WAIT_TIMEOUT_S / 2
    assert status.healthy(status.at)
    assert not status.healthy(status.at + 60_000_000)


async def counted(harness: CaptureHarness) -> bool:
    by_system: Mapping[str, status_record.SourceStatus] = await status_record.statuses(
        harness.log, BRIDGE
    )
    return "erp" in by_system and by_system["erp"].changes == 1
