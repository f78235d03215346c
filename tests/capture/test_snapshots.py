"""Snapshots while changes go on, over the real journal and log."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from bridge.capture import control
from bridge.capture.contract import Limits
from bridge.capture.report import status_record
from bridge.model.errors import RetryLater
from bridge.observe import SnapshotProgress
from tests.capture.legacy import BRIDGE
from tests.capture.rig import Rig, until


class Interrupted(Exception):
    """What the test throws into the capture."""


TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)"
SMALL = Limits(rows=40, keep_alive=0.3, wait=0.05, status=0.05, backoff=0.01, longest_backoff=0.1)


def fill(rig: Rig, rows: int) -> None:
    rig.run(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
        "INSERT INTO t SELECT i, 'row', i FROM n"
    )


async def load(rig: Rig, rng: random.Random, times: int) -> None:
    """Mixed changes, a few a millisecond."""
    for number in range(times):
        key = rng.randrange(1, 700)
        rig.run("BEGIN")
        for statement in rng.choices(
            [
                f"INSERT OR IGNORE INTO t VALUES ({key}, 'new', {number})",
                f"UPDATE t SET b = {number} WHERE id = {key}",
                f"DELETE FROM t WHERE id = {key}",
                f"UPDATE OR IGNORE t SET id = {key + 1} WHERE id = {key}",
            ],
            k=3,
        ):
            rig.run(statement)
        rig.run("COMMIT")
        await asyncio.sleep(0.001)


async def test_a_snapshot_under_load_ends_equal_to_the_table(rig: Rig) -> None:
    rig.run(TABLE)
    fill(rig, 600)
    rig.limits = SMALL
    await rig.declare("t")
    loading = asyncio.create_task(load(rig, random.Random(7), 600))  # noqa: S311 - a seeded load
    async with rig.capturing():
        await loading
        await rig.equal("t")
    assert await history_is_sound(rig)


async def history_is_sound(rig: Rig) -> bool:
    """Each `read` repeats what the log said of its key, or is the first word about it; no change
    is told twice.
    """
    known: dict[int, object] = {}
    positions = set()
    reads = 0
    for told in sorted(await rig.told("t"), key=lambda each: each.record.offset):
        if told.change is None:
            continue
        assert told.change["position"] not in positions
        positions.add(told.change["position"])
        key = told.key["id"]
        if told.op == "read":
            reads += 1
            assert known.get(key, told.change["after"]) == told.change["after"]
        known[key] = told.change["after"]
    return reads > 0


async def test_a_snapshot_goes_on_at_the_chunk_where_it_was_interrupted(rig: Rig) -> None:
    rig.run(TABLE)
    fill(rig, 600)
    rig.limits = SMALL
    await rig.declare("t")
    read = 0

    def stop(step: str) -> None:
        nonlocal read
        read += step == "emit.before"
        if read == 6:
            raise Interrupted

    with pytest.raises(Interrupted):
        async with rig.capturing("one", steps=stop):
            pass
    before = len(await rig.told("t"))
    assert 0 < before < 600
    async with rig.capturing("two"):
        await rig.equal("t")
    assert len(await rig.told("t")) == 600


async def test_watermarks_of_a_connection_that_broke_off_end_no_window_of_the_next_one(
    rig: Rig,
) -> None:
    """They come again while the next one is still behind, and its chunk shows what is later."""
    rig.run(TABLE)
    fill(rig, 50)
    await rig.declare("t")
    async with rig.capturing("one"):
        pass
    rig.run("BEGIN", *(f"UPDATE t SET b = -{number} WHERE id = 2" for number in range(2000)))
    rig.run("COMMIT")
    asked = control.request("erp", "snapshot", "t")
    await control.send(rig.log, BRIDGE, asked)
    rig.limits = replace(SMALL, rows=100, changes=5)
    broken = False

    def break_once(step: str) -> None:
        nonlocal broken
        if step == "high.after" and not broken:
            broken = True
            rig.run("UPDATE t SET b = 1001 WHERE id = 1", "UPDATE t SET b = 1002 WHERE id = 1")
            raise RetryLater("the connection broke off")

    async with rig.capturing("two", steps=break_once):
        await until(lambda: reported(rig, asked.id))
        await rig.equal("t")
    assert broken
    values = [told.change["after"]["b"] for told in await rig.told("t")
              if told.key["id"] == 1 and told.change is not None]  # fmt: skip
    assert values == sorted(values), "a row of the chunk stands before the changes that it shows"


async def test_one_entity_or_some_rows_are_snapshot_on_demand_and_the_asker_sees_it(
    rig: Rig,
) -> None:
    rig.run(TABLE, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    fill(rig, 100)
    await rig.declare("t", "u")
    async with rig.capturing():
        asked = control.request("erp", "snapshot", "t", where={"id": [3, 5]})
        await control.send(rig.log, BRIDGE, asked)
        await until(lambda: reported(rig, asked.id))
    found = (await status_record.statuses(rig.log, BRIDGE))["erp"]
    (result,) = [each for each in found.results if each["id"] == asked.id]
    assert (result["rows"], result["failed"]) == (2, "")
    again = [told.key["id"] for told in await rig.told("t")]
    assert len(again) == 102
    notices = [n for n in rig.notices if isinstance(n, SnapshotProgress) and n.entity == "erp.t"]
    assert notices[-1].done


async def reported(rig: Rig, request: str) -> bool:
    found = (await status_record.statuses(rig.log, BRIDGE)).get("erp")
    return found is not None and any(each["id"] == request for each in found.results)


async def test_a_request_for_an_entity_that_is_not_there_fails_and_says_which_are(
    rig: Rig,
) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    async with rig.capturing():
        asked = control.request("erp", "snapshot", "nothing")
        await control.send(rig.log, BRIDGE, asked)
        await until(lambda: reported(rig, asked.id))
    found = (await status_record.statuses(rig.log, BRIDGE))["erp"]
    assert "it has t" in found.results[-1]["failed"]


async def test_reconcile_deletes_what_is_in_the_log_and_no_longer_in_the_table(rig: Rig) -> None:
    rig.run(TABLE)
    fill(rig, 200)
    await rig.declare("t")
    async with rig.capturing("one"):
        pass
    unseen = rig.legacy.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")[1]
    for name, _ in unseen:
        rig.run(f'DROP TRIGGER "{name}"')
    rig.run("DELETE FROM t WHERE id % 3 = 0", "INSERT INTO t VALUES (1000, 'unseen', 0)")
    rig.run("UPDATE t SET a = 'unseen' WHERE id = 100")
    for _, sql in unseen:
        rig.run(sql)
    async with rig.capturing("two"):
        rig.run("UPDATE t SET b = 0 WHERE id < 20", "DELETE FROM t WHERE id = 50")
        asked = control.request("erp", "snapshot", "t", reconcile=True)
        await control.send(rig.log, BRIDGE, asked)
        await until(lambda: reported(rig, asked.id))
        await rig.equal("t")
    found = (await status_record.statuses(rig.log, BRIDGE))["erp"]
    (result,) = [each for each in found.results if each["id"] == asked.id]
    assert result["deleted"] == 66
    deletes = [told for told in await rig.told("t") if told.op == "delete"]
    assert len(deletes) == 67
    assert len({told.change["position"] for told in deletes if told.change}) == 67


async def test_a_snapshot_can_be_cancelled(rig: Rig) -> None:
    rig.run(TABLE)
    fill(rig, 100)
    await rig.declare("t")
    async with rig.capturing("one"):
        pass
    asked = control.request("erp", "snapshot", "t")
    cancel = control.request("erp", "cancel", "t")
    await control.send(rig.log, BRIDGE, asked)
    await control.send(rig.log, BRIDGE, cancel)
    async with rig.capturing("two"):
        await until(lambda: reported(rig, asked.id))
    found = (await status_record.statuses(rig.log, BRIDGE))["erp"]
    (result,) = [each for each in found.results if each["id"] == asked.id]
    assert "cancelled" in result["failed"]


async def test_a_snapshot_of_an_entity_that_is_no_longer_declared_is_given_up(rig: Rig) -> None:
    rig.run(TABLE, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    await rig.declare("t", "u")
    async with rig.capturing("one"):
        pass
    asked = control.request("erp", "snapshot", "u")
    await control.send(rig.log, BRIDGE, asked)

    def stop(step: str) -> None:
        if step == "low.before":
            raise Interrupted

    with pytest.raises(Interrupted):
        async with rig.capturing("two", steps=stop) as capture:
            await until(lambda: capture.pulse.state == "stopped")
    await rig.declare("t")
    async with rig.capturing("three") as capture:
        rig.run("INSERT INTO t VALUES (1, 'goes on', 1)")
        await rig.equal("t")
        await until(lambda: not capture.pulse.progress.jobs)
