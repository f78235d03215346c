"""Snapshots while changes go on, over the real journal and log."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from bridge.capture import control
from bridge.capture.contract import CaptureLimits
from bridge.capture.report import status_record
from bridge.model.errors import RetryLater
from bridge.observe import SnapshotProgress
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until


class SnapshotInterrupted(Exception):
    """What the test throws into the capture."""


TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)"
SMALL = CaptureLimits(
    rows=40, keep_alive=0.3, wait=0.05, status=0.05, backoff=0.01, longest_backoff=0.1
)


def fill(harness: CaptureHarness, rows: int) -> None:
    harness.run(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
        "INSERT INTO t SELECT i, 'row', i FROM n"
    )


async def load(harness: CaptureHarness, rng: random.Random, times: int) -> None:
    """Mixed changes, a few a millisecond."""
    for number in range(times):
        key = rng.randrange(1, 700)
        harness.run("BEGIN")
        for statement in rng.choices(
            [
                f"INSERT OR IGNORE INTO t VALUES ({key}, 'new', {number})",
                f"UPDATE t SET b = {number} WHERE id = {key}",
                f"DELETE FROM t WHERE id = {key}",
                f"UPDATE OR IGNORE t SET id = {key + 1} WHERE id = {key}",
            ],
            k=3,
        ):
            harness.run(statement)
        harness.run("COMMIT")
        await asyncio.sleep(0.001)


async def test_a_snapshot_under_load_ends_equal_to_the_table(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    fill(harness, 600)
    harness.limits = SMALL
    await harness.declare("t")
    loading = asyncio.create_task(load(harness, random.Random(7), 600))  # noqa: S311 - a seeded load
    async with harness.capturing():
        await loading
        await harness.equal("t")
    assert await history_is_sound(harness)


async def history_is_sound(harness: CaptureHarness) -> bool:
    """Each `read` repeats what the log said of its key, or is the first word about it; no change
    is told twice.
    """
    latest_by_key: dict[int, object] = {}
    positions = set()
    reads = 0
    for record in sorted(await harness.records("t"), key=lambda each: each.record.offset):
        if record.change is None:
            continue
        assert record.change["position"] not in positions
        positions.add(record.change["position"])
        key = record.key["id"]
        if record.op == "read":
            reads += 1
            assert latest_by_key.get(key, record.change["after"]) == record.change["after"]
        latest_by_key[key] = record.change["after"]
    return reads > 0


async def test_a_snapshot_goes_on_at_the_chunk_where_it_was_interrupted(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    fill(harness, 600)
    harness.limits = SMALL
    await harness.declare("t")
    read = 0

    def stop(step: str) -> None:
        nonlocal read
        read += step == "emit.before"
        if read == 6:
            raise SnapshotInterrupted

    with pytest.raises(SnapshotInterrupted):
        async with harness.capturing("one", crash_point=stop):
            pass
    before = len(await harness.records("t"))
    assert 0 < before < 600
    async with harness.capturing("two"):
        await harness.equal("t")
    assert len(await harness.records("t")) == 600


async def test_watermarks_of_a_connection_that_broke_off_end_no_window_of_the_next_one(
    harness: CaptureHarness,
) -> None:
    """They come again while the next one is still behind, and its chunk shows what is later."""
    harness.run(TABLE)
    fill(harness, 50)
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    harness.run("BEGIN", *(f"UPDATE t SET b = -{number} WHERE id = 2" for number in range(2000)))
    harness.run("COMMIT")
    request = control.request("erp", "snapshot", "t")
    await control.send(harness.log, BRIDGE, request)
    harness.limits = replace(SMALL, rows=100, changes=5)
    broken = False

    def break_once(step: str) -> None:
        nonlocal broken
        if step == "high.after" and not broken:
            broken = True
            harness.run("UPDATE t SET b = 1001 WHERE id = 1", "UPDATE t SET b = 1002 WHERE id = 1")
            raise RetryLater("the connection broke off")

    async with harness.capturing("two", crash_point=break_once):
        await until(lambda: reported(harness, request.id))
        await harness.equal("t")
    assert broken
    values = [record.change["after"]["b"] for record in await harness.records("t")
              if record.key["id"] == 1 and record.change is not None]  # fmt: skip
    assert values == sorted(values), "a row of the chunk stands before the changes that it shows"


async def test_one_entity_or_some_rows_are_snapshot_on_demand_and_the_asker_sees_it(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    fill(harness, 100)
    await harness.declare("t", "u")
    async with harness.capturing():
        request = control.request("erp", "snapshot", "t", where={"id": [3, 5]})
        await control.send(harness.log, BRIDGE, request)
        await until(lambda: reported(harness, request.id))
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    (result,) = [each for each in status.results if each["id"] == request.id]
    assert (result["rows"], result["failed"]) == (2, "")
    again = [record.key["id"] for record in await harness.records("t")]
    assert len(again) == 102
    notices = [
        n for n in harness.notices if isinstance(n, SnapshotProgress) and n.entity == "erp.t"
    ]
    assert notices[-1].done


async def reported(harness: CaptureHarness, request: str) -> bool:
    status = (await status_record.statuses(harness.log, BRIDGE)).get("erp")
    return status is not None and any(each["id"] == request for each in status.results)


async def test_a_request_for_an_entity_that_is_not_there_fails_and_says_which_are(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing():
        request = control.request("erp", "snapshot", "nothing")
        await control.send(harness.log, BRIDGE, request)
        await until(lambda: reported(harness, request.id))
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    assert "it has t" in status.results[-1]["failed"]


async def test_reconcile_deletes_what_is_in_the_log_and_no_longer_in_the_table(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE)
    fill(harness, 200)
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    unseen = harness.database.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")[1]
    for name, _ in unseen:
        harness.run(f'DROP TRIGGER "{name}"')
    harness.run("DELETE FROM t WHERE id % 3 = 0", "INSERT INTO t VALUES (1000, 'unseen', 0)")
    harness.run("UPDATE t SET a = 'unseen' WHERE id = 100")
    for _, sql in unseen:
        harness.run(sql)
    async with harness.capturing("two"):
        harness.run("UPDATE t SET b = 0 WHERE id < 20", "DELETE FROM t WHERE id = 50")
        request = control.request("erp", "snapshot", "t", reconcile=True)
        await control.send(harness.log, BRIDGE, request)
        await until(lambda: reported(harness, request.id))
        await harness.equal("t")
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    (result,) = [each for each in status.results if each["id"] == request.id]
    assert result["deleted"] == 66
    deletes = [record for record in await harness.records("t") if record.op == "delete"]
    assert len(deletes) == 67
    assert len({record.change["position"] for record in deletes if record.change}) == 67


async def test_a_snapshot_can_be_cancelled(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    fill(harness, 100)
    await harness.declare("t")
    async with harness.capturing("one"):
        pass
    request = control.request("erp", "snapshot", "t")
    cancel = control.request("erp", "cancel", "t")
    await control.send(harness.log, BRIDGE, request)
    await control.send(harness.log, BRIDGE, cancel)
    async with harness.capturing("two"):
        await until(lambda: reported(harness, request.id))
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    (result,) = [each for each in status.results if each["id"] == request.id]
    assert "cancelled" in result["failed"]


async def test_a_snapshot_of_an_entity_that_is_no_longer_declared_is_given_up(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    await harness.declare("t", "u")
    async with harness.capturing("one"):
        pass
    request = control.request("erp", "snapshot", "u")
    await control.send(harness.log, BRIDGE, request)

    def stop(step: str) -> None:
        if step == "low.before":
            raise SnapshotInterrupted

    with pytest.raises(SnapshotInterrupted):
        async with harness.capturing("two", crash_point=stop) as capture:
            await until(lambda: capture.stats.state == "stopped")
    await harness.declare("t")
    async with harness.capturing("three") as capture:
        harness.run("INSERT INTO t VALUES (1, 'goes on', 1)")
        await harness.equal("t")
        await until(lambda: not capture.stats.progress.jobs)
