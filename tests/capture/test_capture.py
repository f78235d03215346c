from __future__ import annotations

from tests.capture.harness import CaptureHarness, until

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)"


async def test_changes_become_events_and_what_was_there_before_is_read(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'there', 1)")
    await harness.declare("t")
    async with harness.capturing():
        await harness.equal("t")
        harness.run("INSERT INTO t VALUES (2, 'new', 2)", "UPDATE t SET a = 'x' WHERE id = 1")
        harness.run("DELETE FROM t WHERE id = 2")
        await harness.equal("t")
    records = sorted(await harness.records("t"), key=lambda each: each.record.offset)
    assert [each.op for each in records if each.key["id"] == 1] == ["read", "update"]
    assert [each.op for each in records if each.key["id"] == 2] == ["create", "delete", "tombstone"]


async def test_a_second_run_goes_on_where_the_first_ended(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing("one"):
        harness.run("INSERT INTO t VALUES (1, 'a', 1)")
        await harness.equal("t")
    harness.run("INSERT INTO t VALUES (2, 'b', 2)", "UPDATE t SET b = 3 WHERE id = 1")
    async with harness.capturing("two"):
        await harness.equal("t")
    ops = sorted((record.key["id"], record.op) for record in await harness.records("t"))
    assert ops == [(1, "create"), (1, "update"), (2, "create")]


async def test_idle_positions_are_checkpointed_and_acknowledged(harness: CaptureHarness) -> None:
    harness.run(TABLE)
    await harness.declare("t")
    async with harness.capturing():
        harness.run("INSERT INTO t VALUES (1, 'a', 1)")
        await until(
            lambda: harness.database.rows("SELECT count(*) FROM bridge_journal")[1][0][0] == 1
        )
