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
from tests.capture.legacy import BRIDGE, Legacy, PostgresLegacy, SqliteLegacy
from tests.capture.rig import Rig, opened, until
from tests.capture.test_failures import lose_history
from tests.waiting import PATIENCE

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


async def junk(rig: Rig) -> None:
    await rig.log.create_topics([control.topic(BRIDGE)])
    entries = [Entry(b"erp", value) for value in JUNK]
    await rig.log.append(control.topic(BRIDGE).name, entries)


async def test_capture_goes_on_with_the_requests_behind_what_is_none(rig: Rig) -> None:
    rig.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await rig.declare("t")
    async with rig.capturing() as capture:
        await junk(rig)
        asked = control.request("erp", "snapshot", "t")
        await control.send(rig.log, BRIDGE, asked)
        await until(lambda: any(r.id == asked.id for r in capture.pulse.progress.results))
        assert "left out" in capture.pulse.reason
    assert [told.op for told in await rig.told("t")] == ["read", "read"]


async def test_a_loss_can_be_accepted_behind_what_is_no_request(rig: Rig) -> None:
    rig.run(TABLE, "INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    await rig.declare("t")
    async with rig.capturing("one"):
        pass
    lose_history(rig)
    await junk(rig)
    with pytest.raises(HistoryLost):
        await asyncio.wait_for(Capture(rig.wires(), "two").run(), PATIENCE)
    await control.send(rig.log, BRIDGE, control.request("erp", "accept_loss"))
    async with rig.capturing("three") as capture:
        await until(lambda: not capture.pulse.progress.jobs)
        await rig.equal("t")


async def test_a_loss_that_a_running_capture_has_not_had_is_answered(rig: Rig) -> None:
    rig.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await rig.declare("t")
    async with rig.capturing() as capture:
        epoch = capture.pulse.progress.epoch
        await control.send(rig.log, BRIDGE, control.request("erp", "accept_loss"))
        await until(lambda: any(one.failed for one in capture.pulse.progress.results))
        assert capture.pulse.progress.results[-1].failed == control.nothing_lost("erp")
        assert (capture.pulse.progress.epoch, capture.pulse.progress.jobs) == (epoch, ())
    reasons = [each.reason for each in rig.notices if isinstance(each, SourceState)]
    assert control.nothing_lost("erp") in reasons


@pytest.fixture(params=["sqlite", "postgres"])
async def over(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Over each kind of source that is there."""
    legacy: Legacy
    if request.param == "sqlite":
        legacy = SqliteLegacy(tmp_path / "erp.db")
    else:
        legacy = PostgresLegacy(request.getfixturevalue("database"))
    async with opened(tmp_path, legacy) as made:
        yield made


@pytest.mark.parametrize("where", [{"nosuch": 1}, {"id": "no number"}, {"id": []}, {}])
async def test_a_condition_that_the_source_refuses_ends_its_snapshot_and_nothing_else(
    over: Rig, where: dict[str, Any]
) -> None:
    over.run(TABLE, "INSERT INTO t VALUES (1, 'x')")
    await over.declare("t")
    async with over.capturing() as capture:
        asked = control.request("erp", "snapshot", "t", where=where)
        await control.send(over.log, BRIDGE, asked)
        await until(lambda: any(r.id == asked.id for r in capture.pulse.progress.results))
        over.run("INSERT INTO t VALUES (2, 'goes on')")
        await over.equal("t")
        assert capture.pulse.state == "streaming"
