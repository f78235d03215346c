"""Requests that are none, or that nobody can carry out: told, and left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.capture import control
from bridge.capture.runner import Capture
from bridge.log.port import Entry
from bridge.model.errors import HistoryLost
from bridge.observe import SourceState
from tests.capture.databases import BRIDGE, CapturedDatabase, PostgresDatabase, SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness, until
from tests.capture.test_failures import lose_history
from tests.waiting import WAIT_TIMEOUT_S

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)"


def like(**changes: Any) -> bytes:
    """A request with some of its members otherwise."""
    return json.dumps({"id": "x", "system": "erp", "action": "snapshot", **changes}).encode()


JUNK: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\xff",
    b"{",
    b"[" * 5000,
    b"null",
    b"[1]",
    b"{}",
    like(action="destroy"),
    like(action=["snapshot"]),
    like(id=5),
    like(system=None),
    like(entity=["t"]),
    like(where=[1]),
    like(where={"id": {"not": "a value"}}),
    like(where={"id": [[1]]}),
    like(reconcile="yes"),
    like(further=1),
    like(max_deletes="lots"),
    like(max_deletes=5),
)


@pytest.mark.parametrize("value", JUNK[1:])
def test_what_is_no_request_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="request"):
        control.load(value)


async def junk(harness: CaptureHarness) -> None:
    await harness.log.create_topics([control.topic(BRIDGE)])
    entries = [Entry(b"erp", value) for value in JUNK]
    await harness.log.append(control.topic(BRIDGE).name, entries)


async def test_capture_goes_on_with_the_requests_behind_what_is_none(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await harness.declare("t")
    async with harness.capturing() as capture:
        await junk(harness)
        request = control.request("erp", "snapshot", "t")
        await control.send(harness.log, BRIDGE, request)
        await until(lambda: any(r.id == request.id for r in capture.stats.progress.results))
        assert "skipped" in capture.stats.reason
    assert [record.op for record in await harness.records("t")] == ["read", "read"]


async def test_a_loss_can_be_accepted_behind_what_is_no_request(harness: CaptureHarness) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    lose_history(harness)
    await junk(harness)
    with pytest.raises(HistoryLost):
        await asyncio.wait_for(Capture(harness.deps(), "two").run(), WAIT_TIMEOUT_S)
    await control.send(harness.log, BRIDGE, control.request("erp", "accept_loss"))
    async with harness.capturing("three") as capture:
        await until(lambda: not capture.stats.progress.jobs)
        await harness.equal("t")


async def test_a_loss_that_a_running_capture_has_not_had_is_answered(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await harness.declare("t")
    async with harness.capturing() as capture:
        epoch = capture.stats.progress.epoch
        await control.send(harness.log, BRIDGE, control.request("erp", "accept_loss"))
        await until(lambda: any(result.failed for result in capture.stats.progress.results))
        assert capture.stats.progress.results[-1].failed == control.nothing_lost("erp")
        assert (capture.stats.progress.epoch, capture.stats.progress.jobs) == (epoch, ())
    reasons = [each.reason for each in harness.notices if isinstance(each, SourceState)]
    assert control.nothing_lost("erp") in reasons


@pytest.fixture(params=["sqlite", "postgres"])
async def over(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    """Over each kind of source that is there."""
    legacy: CapturedDatabase
    if request.param == "sqlite":
        legacy = SqliteDatabase(tmp_path / "erp.db")
    else:
        legacy = PostgresDatabase(request.getfixturevalue("database"))
    async with open_harness(tmp_path, legacy) as opened_harness:
        yield opened_harness


@pytest.mark.parametrize("where", [{"nosuch": 1}, {"id": "no number"}, {"id": []}, {}])
async def test_a_condition_that_the_source_refuses_ends_its_snapshot_and_nothing_else(
    over: CaptureHarness, where: dict[str, Any]
) -> None:
    over.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await over.declare("t")
    async with over.capturing() as capture:
        request = control.request("erp", "snapshot", "t", where=where)
        await control.send(over.log, BRIDGE, request)
        await until(lambda: any(r.id == request.id for r in capture.stats.progress.results))
        over.run("INSERT INTO t VALUES (2, 'goes on')")
        await over.equal("t")
        assert capture.stats.state == "streaming"
