from __future__ import annotations

from tests.capture.rig import Rig, until

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)"


async def test_changes_become_events_and_what_was_there_before_is_read(rig: Rig) -> None:
    rig.run(TABLE, "INSERT INTO t VALUES (1, 'there', 1)")
    await rig.declare("t")
    async with rig.capturing():
        await rig.equal("t")
        rig.run("INSERT INTO t VALUES (2, 'new', 2)", "UPDATE t SET a = 'x' WHERE id = 1")
        rig.run("DELETE FROM t WHERE id = 2")
        await rig.equal("t")
    told = sorted(await rig.told("t"), key=lambda each: each.record.offset)
    assert [each.op for each in told if each.key["id"] == 1] == ["read", "update"]
    assert [each.op for each in told if each.key["id"] == 2] == ["create", "delete", "tombstone"]


async def test_a_second_run_goes_on_where_the_first_ended(rig: Rig) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    async with rig.capturing("one"):
        rig.run("INSERT INTO t VALUES (1, 'a', 1)")
        await rig.equal("t")
    rig.run("INSERT INTO t VALUES (2, 'b', 2)", "UPDATE t SET b = 3 WHERE id = 1")
    async with rig.capturing("two"):
        await rig.equal("t")
    ops = sorted((told.key["id"], told.op) for told in await rig.told("t"))
    assert ops == [(1, "create"), (1, "update"), (2, "create")]


async def test_idle_positions_are_checkpointed_and_acknowledged(rig: Rig) -> None:
    rig.run(TABLE)
    await rig.declare("t")
    async with rig.capturing():
        rig.run("INSERT INTO t VALUES (1, 'a', 1)")
        await until(lambda: rig.legacy.rows("SELECT count(*) FROM bridge_journal")[1][0][0] == 1)
