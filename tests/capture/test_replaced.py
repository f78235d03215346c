"""A table that is another one under the same name, or whose changes weren't told for a while.

PostgreSQL tells changes by name, and says nothing of either: the log is compared with the table, by
itself, and once the stream has passed the moment.
"""

from __future__ import annotations

from functools import partial

import pytest

from bridge.capture.checkpoint.store import progress_of
from connectors.postgres.capture.slot import Binding, Resume, load
from tests.capture.legacy import BRIDGE, PostgresLegacy
from tests.capture.rig import Rig, settled, until

TABLE = "CREATE TABLE {} (id int PRIMARY KEY, s text)"


@pytest.fixture
def rig(pg: Rig) -> Rig:
    """Over PostgreSQL, looking at the tables as often as not."""
    assert isinstance(pg.legacy, PostgresLegacy)
    pg.legacy.options["heartbeat"] = 0.2
    pg.run(TABLE.format("t"), "INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i")
    return pg


async def compared(rig: Rig) -> bool:
    progress = await progress_of(rig.log, BRIDGE, "erp")
    assert progress is not None
    results = [result for result in progress.results if result.id.startswith("stale-t-")]
    return bool(results) and not progress.jobs and not any(result.failed for result in results)


REPLACED = {
    "made again": [
        "DROP TABLE t",
        TABLE.format("t"),
        "INSERT INTO t VALUES (3, 'new'), (30, 'new')",
    ],
    "swapped": [
        TABLE.format("fresh"),
        "INSERT INTO fresh VALUES (3, 'new'), (30, 'new')",
        "BEGIN",
        "ALTER TABLE t RENAME TO t_old",
        "ALTER TABLE fresh RENAME TO t",
        "COMMIT",
    ],
}


@pytest.mark.parametrize("how", REPLACED)
async def test_a_table_replaced_while_the_bridge_was_stopped_is_compared(
    rig: Rig, how: str
) -> None:
    await rig.declare("t")
    async with rig.capturing("one"):
        await rig.equal("t")
    rig.run(*REPLACED[how], "ALTER PUBLICATION bridge SET TABLE t")
    async with rig.capturing("two"):
        await until(partial(compared, rig))
        await rig.equal("t")
        rig.run("INSERT INTO t VALUES (31, 'then')")
        await rig.equal("t")


@pytest.mark.parametrize("how", REPLACED)
async def test_a_table_replaced_under_a_running_bridge_is_in_trouble_until_it_is_published(
    rig: Rig, how: str
) -> None:
    await rig.declare("t")
    async with rig.capturing() as capture:
        await rig.equal("t")
        rig.run(*REPLACED[how])
        await until(lambda: "t" in capture.pulse.troubles)
        assert "is not in publication 'bridge'" in capture.pulse.troubles["t"]
        rig.run("INSERT INTO t VALUES (31, 'not told')")
        rig.run("ALTER PUBLICATION bridge ADD TABLE t")
        await until(partial(compared, rig))
        await rig.equal("t")
        await until(lambda: not capture.pulse.troubles)


async def test_a_swapped_table_of_a_publication_of_all_tables_is_compared(rig: Rig) -> None:
    """Its changes go on coming; the rows that it brought along do not."""
    rig.run("CREATE PUBLICATION bridge FOR ALL TABLES WITH (publish_via_partition_root = true)")
    await rig.declare("t")
    async with rig.capturing():
        await rig.equal("t")
        rig.run(*REPLACED["swapped"], "INSERT INTO t VALUES (31, 'then')")
        await until(partial(compared, rig))
        await rig.equal("t")


async def test_a_table_renamed_away_and_back_is_compared(rig: Rig) -> None:
    """Its changes came under another name meanwhile. The oids are what they were."""
    await rig.declare("t")
    async with rig.capturing():
        await rig.equal("t")
        rig.run("ALTER TABLE t RENAME TO away", "DELETE FROM away WHERE id < 10")
        rig.run("ALTER TABLE away RENAME TO t")
        await until(partial(compared, rig))
        await rig.equal("t")


@pytest.mark.parametrize("running", [True, False])
async def test_a_table_that_was_not_published_for_a_while_is_compared(
    rig: Rig, *, running: bool
) -> None:
    await rig.declare("t")
    gap = [
        "ALTER PUBLICATION bridge DROP TABLE t",
        "UPDATE t SET s = 'not told' WHERE id < 10",
        "ALTER PUBLICATION bridge ADD TABLE t",
    ]
    async with rig.capturing("one"):
        await rig.equal("t")
        if running:
            rig.run(*gap)
            await until(partial(compared, rig))
            await rig.equal("t")
    if not running:
        rig.run(*gap)
        async with rig.capturing("two"):
            await until(partial(compared, rig))
            await rig.equal("t")


@pytest.mark.parametrize("published", [True, False])
async def test_a_table_that_is_gone_for_a_while_spares_the_others(
    rig: Rig, *, published: bool
) -> None:
    """Also when the bridge is started meanwhile; it is compared once it is there and published."""
    rig.run(TABLE.format("u"))
    if published:
        rig.run("CREATE PUBLICATION bridge FOR ALL TABLES WITH (publish_via_partition_root = true)")
    await rig.declare("t", "u")
    async with rig.capturing("one") as capture:
        await rig.equal("t", "u")
        rig.run("DROP TABLE t")
        await until(lambda: "t" in capture.pulse.troubles)
        assert "does not exist" in capture.pulse.troubles["t"]
    async with rig.capturing("two") as capture:
        await until(lambda: "t" in capture.pulse.troubles)
        rig.run("INSERT INTO u VALUES (1, 'x')")
        await rig.equal("u")
        rig.run(*REPLACED["made again"][1:], "INSERT INTO t VALUES (31, 'then')")
        if not published:
            rig.run("ALTER PUBLICATION bridge ADD TABLE t")
        await until(partial(compared, rig))
        await until(lambda: not capture.pulse.troubles)
        rig.run("INSERT INTO t VALUES (32, 'then')", "UPDATE t SET s = 'now' WHERE id = 31")
        await rig.equal("t", "u")


async def test_a_table_that_stays_what_it_is_is_never_compared(rig: Rig) -> None:
    """Neither vacuuming, rewriting nor altering makes it another table."""
    await rig.declare("t")
    async with rig.capturing("one") as capture:
        await rig.equal("t")
        rig.run("VACUUM FULL t", "ALTER TABLE t ADD n int", "CLUSTER t USING t_pkey")
        rig.run("INSERT INTO t VALUES (21, 'x', 2)", "UPDATE t SET n = 1")
        await rig.equal("t")
        seen = capture.pulse.progress.checkpoint
        assert seen is not None
        before = load(seen).tables
    async with rig.capturing("two") as capture:
        rig.run("INSERT INTO t VALUES (22, 'x', 2)")
        await rig.equal("t")
        assert load(capture.pulse.progress.checkpoint or b"").tables == before != {}
        assert not any(one.id.startswith("stale") for one in capture.pulse.progress.results)
        assert settled(capture, rig.entities)


def test_a_checkpoint_of_an_earlier_release_knows_no_tables() -> None:
    old = b'{"lsn":"0/1000","steps":2,"system":"77"}'
    assert load(old) == Resume(0x1000, 2, "77", {})
    assert load(old).dump() == old
    fresh = Resume(0x1000, 2, "77", {"t": Binding(1, 2)})
    assert load(fresh.dump()) == fresh
