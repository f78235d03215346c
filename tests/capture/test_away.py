"""What is away in part: the stream goes on without the tables, and health claims nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from bridge.capture import control
from bridge.capture.report import status_record
from bridge.capture.report.stats import CaptureStats
from bridge.connector import Chunk, Connector, Snapshot, System
from bridge.model.errors import RetryLater
from bridge.observe import SourceState
from tests.capture.databases import BRIDGE, PostgresDatabase
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.services.errors import ServerUnavailable

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, a text)"


@contextmanager
def role(server: Postgres, url: str) -> Iterator[str]:
    """A login of its own that may replicate; yields its URL."""
    name = f"bridge_{make_url(url).database}"
    server.execute(f"CREATE ROLE {name} LOGIN REPLICATION PASSWORD 'x'")
    try:
        yield server.url_of(str(make_url(url).database), name, "x")
    finally:
        server.drop_database(url)
        server.execute(f"DROP ROLE {name}")


async def test_a_snapshot_connection_that_is_refused_does_not_hold_up_the_stream(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new_database()
    with role(postgres, url) as mine:
        name = sql.Identifier(str(make_url(mine).username))
        admin = psycopg.connect(url, autocommit=True)
        for statement in (
            TABLE,
            "INSERT INTO t SELECT i, 'before' FROM generate_series(1, 50) i",
            sql.SQL("GRANT SELECT ON t TO {}").format(name),
            "CREATE PUBLICATION bridge FOR TABLE t",
            # One beside the stream, which doesn't count, and none for the snapshot.
            sql.SQL("ALTER ROLE {} CONNECTION LIMIT 1").format(name),
        ):
            admin.execute(statement)
        legacy = PostgresDatabase(url)
        legacy.url = mine
        async with open_harness(tmp_path, legacy) as harness:
            await limited(harness, admin, name)
        admin.close()


async def limited(harness: CaptureHarness, admin: psycopg.Connection, name: sql.Identifier) -> None:
    from bridge.capture.runner import Capture
    from bridge.model.specs import EntitySpec

    harness.entities = (EntitySpec("erp", "t", "t"),)
    capture = Capture(harness.deps(), "one")
    running = asyncio.create_task(capture.run())
    try:
        await until(lambda: waits(harness))
        harness.run("INSERT INTO t VALUES (51, 'streamed')")

        async def streamed() -> bool:
            return await harness.state("t") == {51: {"id": 51, "a": "streamed"}}

        await until(streamed)
        status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
        assert status.state == "streaming"
        assert status.healthy(status.at)
        source_states = [each for each in harness.notices if isinstance(each, SourceState)]
        assert [each.state for each in source_states][-2:] == ["streaming", "streaming"]
        assert "too many connections" in source_states[-1].reason
        admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT -1").format(name))
        await harness.equal("t")
        await until(lambda: not capture.stats.progress.jobs)
        assert not capture.stats.waiting
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def waits(harness: CaptureHarness) -> bool:
    """Whether the snapshot's state says why it waits."""
    status = (await status_record.statuses(harness.log, BRIDGE)).get("erp")
    return status is not None and any(
        "too many connections" in job["waiting"] for job in status.snapshots
    )


class BreakingConnector:
    """A connector whose tables can be read only now and then; their reads may hang, too."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.breaks = 0
        self.opened = 0
        self.hangs = asyncio.Event()
        self.hangs.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    async def snapshot(self, system: System) -> Snapshot:
        await self.hangs.wait()
        self.opened += 1
        return BreakingSnapshot(self, await self._connector.snapshot(system))


class BreakingSnapshot:
    """Its snapshot: breaks off where the test says so."""

    def __init__(self, connector: BreakingConnector, snapshot: Snapshot) -> None:
        self._connector = connector
        self._snapshot = snapshot
        self.closed = False

    async def count(self, *arguments: Any) -> int:
        return await self._snapshot.count(*arguments)

    async def chunk(self, *arguments: Any) -> Chunk:
        assert not self.closed
        if self._connector.breaks:
            self._connector.breaks -= 1
            raise RetryLater("the connection broke off")
        return await self._snapshot.chunk(*arguments)

    async def close(self) -> None:
        self.closed = True
        await self._snapshot.close()


async def test_a_snapshot_whose_connection_breaks_off_is_gone_on_with_over_another(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    harness.run(*(f"INSERT INTO t VALUES ({number}, 'x')" for number in range(30)))
    await harness.declare("t")
    connector = BreakingConnector(harness.database.connector)
    connector.breaks = 3
    async with harness.capturing(connector=connector):
        await harness.equal("t")
    assert connector.opened == 4
    assert not retried(harness)
    assert len(await harness.records("t")) == 30


async def test_the_stream_does_not_wait_while_a_snapshot_connection_is_opened(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    await harness.declare("t")
    connector = BreakingConnector(harness.database.connector)
    async with harness.capturing(connector=connector):
        connector.breaks = 1
        connector.hangs.clear()
        await control.send(harness.log, BRIDGE, control.request("erp", "snapshot", "t"))
        await until(lambda: not connector.breaks)
        harness.run("INSERT INTO t VALUES (1, 'meanwhile')")
        await harness.equal("t")
        connector.hangs.set()
        await until(lambda: connector.opened == 2)


async def test_health_claims_no_progress_while_the_server_is_silent(
    pg: CaptureHarness, postgres: Postgres
) -> None:
    if postgres.pid is None:
        raise ServerUnavailable(
            "this test stops a server process, so the server must be a local program"
        )
    name = make_url(pg.database.url).database  # type: ignore[attr-defined]
    pg.run(TABLE, f"ALTER DATABASE \"{name}\" SET wal_sender_timeout = '12s'")
    await pg.declare("t")
    async with pg.capturing() as capture:
        stats, now = capture.stats, pg.deps().clock
        _, [[pid]] = pg.database.rows("SELECT active_pid FROM pg_replication_slots WHERE active")
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: stats.last(now()).age(now()) > 2)
            assert stats.state == "streaming"
            await until(lambda: any("sent nothing" in reason for reason in retried(pg)))
        finally:
            os.kill(pid, signal.SIGCONT)
        pg.run("INSERT INTO t VALUES (1, 'after')")
        await pg.equal("t")
        await until(lambda: stats.last(now()).age(now()) < 1)


def retried(harness: CaptureHarness) -> list[str]:
    """Why the source was opened again."""
    states = [each for each in harness.notices if isinstance(each, SourceState)]
    return [each.reason for each in states if each.state == "retrying"]


@pytest.mark.parametrize("seconds", [0, 20])
def test_what_is_written_while_the_source_is_silent_is_no_progress_of_it(seconds: int) -> None:
    stats = CaptureStats("erp", "one", 0)
    stats.silent = seconds
    stats.committed(100_000_000, 0, 0, None)
    assert stats.progressed_at == 100_000_000 - seconds * status_record.MICROSECONDS_PER_SECOND
    stats.idle(110_000_000)
    assert stats.progressed_at == 110_000_000 - seconds * status_record.MICROSECONDS_PER_SECOND


def test_a_clock_that_was_set_back_keeps_no_report_from_being_made_or_told() -> None:
    """Else nothing would be reported, and everything called healthy, for as long as the leap."""
    stats = CaptureStats("erp", "one", 0)
    hour = 3600 * status_record.MICROSECONDS_PER_SECOND
    stats.idle(2 * hour)
    assert stats.due(2 * hour, 1.0)
    last = stats.last(2 * hour)
    assert last.healthy(2 * hour + status_record.MICROSECONDS_PER_SECOND)
    assert not last.healthy(hour)
    assert stats.due(hour, 1.0)
    assert not stats.due(hour, 1.0)
    stats.idle(hour)
    assert stats.last(hour).healthy(hour + status_record.MICROSECONDS_PER_SECOND)
