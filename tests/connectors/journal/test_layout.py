"""Journaled rows whose table has other columns by now."""

from __future__ import annotations

from bridge.plan.steps import MISSING
from connectors.journal import connector

from .conftest import Legacy
from .opened import TABLE, opened


async def test_a_column_added_in_mid_stream_is_missing_until_set_up_renews_the_triggers(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    system = legacy.system("t")
    source = await opened(system)
    legacy.run("INSERT INTO t VALUES (1, 'x')")
    first = (await source.read(10, 0)).changes[0]
    legacy.run("ALTER TABLE t ADD COLUMN b DEFAULT 7", "UPDATE t SET b = 8", "UPDATE t SET id = 2")
    stale, moved = (await source.read(10, 0)).changes
    findings = await connector.check(system)
    assert any("older than a column" in finding.what for finding in findings)
    await connector.setup(system)
    assert await connector.check(system) == []
    legacy.run("UPDATE t SET b = 9")
    (fresh,) = (await source.read(10, 0)).changes
    await source.close()
    assert [column.name for column in first.shape.columns] == ["id", "a"]
    assert stale.shape is not first.shape
    assert (stale.old, stale.old_full, stale.new) == (None, False, (1, "x", MISSING))
    assert (moved.old, moved.new) == ((1, MISSING, MISSING), (2, "x", MISSING))
    assert (fresh.old_full, fresh.new) == (True, (2, "x", 9))
    assert [column.name for column in fresh.shape.columns] == ["id", "a", "b"]


async def test_rows_that_were_journaled_before_a_restart_keep_their_layout(legacy: Legacy) -> None:
    legacy.run(TABLE)
    system = legacy.system("t")
    source = await opened(system)
    begun = (await source.read(1, 0)).checkpoint
    await source.close()
    legacy.run("INSERT INTO t VALUES (1, 'x')", "ALTER TABLE t RENAME COLUMN a TO z")
    await connector.setup(system)
    legacy.run("INSERT INTO t VALUES (2, 'y')")
    source = await opened(system, begun)
    old, new = (await source.read(10, 0)).changes
    await source.close()
    assert [column.name for column in old.shape.columns] == ["id", "a", "z"]
    assert old.new == (1, "x", MISSING)
    assert new.new == (2, "y")


async def test_tables_that_are_no_longer_configured_are_passed_over(legacy: Legacy) -> None:
    legacy.run(TABLE, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    await connector.setup(legacy.system("t", "u"))
    source = await opened(legacy.system("u"))
    legacy.run("INSERT INTO t VALUES (1, 1)", "INSERT INTO u VALUES (5)")
    batch = await source.read(10, 0)
    await source.close()
    assert [change.shape.table for change in batch.changes] == ["u"]
