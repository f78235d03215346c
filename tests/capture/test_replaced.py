"""A table that is another one under the same name, or whose changes weren't told for a while.

PostgreSQL tells changes by name, and says nothing of either: the log is compared with the table, by
itself, and once the stream has passed the moment.
"""

from __future__ import annotations

from functools import partial

import pytest

from bridge.capture.checkpoint.store import progress_of
from connectors.postgres.capture.slot import Binding, SlotCheckpoint, load
from tests.capture.databases import BRIDGE, PostgresDatabase
from tests.capture.harness import CaptureHarness, is_streaming, until

TABLE = "CREATE TABLE {} (id int PRIMARY KEY, s text)"


@pytest.fixture
def harness(pg: CaptureHarness) -> CaptureHarness:
    """Over PostgreSQL, looking at the tables as often as not."""
    assert isinstance(pg.database, PostgresDatabase)
    pg.database.options["heartbeat"] = 0.2
    pg.run(TABLE.format("t"), "INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i")
    return pg


async def compared(harness: CaptureHarness) -> bool:
    progress = await progress_of(harness.log, BRIDGE, "erp")
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
    harness: CaptureHarness, how: str
) -> None:
    await harness.declare("t")
    async with harness.capturing("one"):
        await harness.equal("t")
    harness.run(*REPLACED[how], "ALTER PUBLICATION bridge SET TABLE t")
    async with harness.capturing("two"):
        await until(partial(compared, harness))
        await harness.equal("t")
        harness.run("INSERT INTO t VALUES (31, 'then')")
        await harness.equal("t")


@pytest.mark.parametrize("how", REPLACED)
async def test_a_table_replaced_under_a_running_bridge_is_in_trouble_until_it_is_published(
    harness: CaptureHarness, how: str
) -> None:
    await harness.declare("t")
    async with harness.capturing() as capture:
        await harness.equal("t")
        harness.run(*REPLACED[how])
        await until(lambda: "t" in capture.stats.troubles)
        assert "is not in publication 'bridge'" in capture.stats.troubles["t"]
        harness.run("INSERT INTO t VALUES (31, 'not told')")
        harness.run("ALTER PUBLICATION bridge ADD TABLE t")
        await until(partial(compared, harness))
        await harness.equal("t")
        await until(lambda: not capture.stats.troubles)


async def test_a_swapped_table_of_a_publication_of_all_tables_is_compared(
    harness: CaptureHarness,
) -> None:
    """Its changes go on coming; the rows that it brought along do not."""
    harness.run("CREATE PUBLICATION bridge FOR ALL TABLES WITH (publish_via_partition_root = true)")
    await harness.declare("t")
    async with harness.capturing():
        await harness.equal("t")
        harness.run(*REPLACED["swapped"], "INSERT INTO t VALUES (31, 'then')")
        await until(partial(compared, harness))
        await harness.equal("t")


async def test_a_table_renamed_away_and_back_is_compared(harness: CaptureHarness) -> None:
    """Its changes came under another name meanwhile. The oids are what they were."""
    await harness.declare("t")
    async with harness.capturing():
        await harness.equal("t")
        harness.run("ALTER TABLE t RENAME TO away", "DELETE FROM away WHERE id < 10")
        harness.run("ALTER TABLE away RENAME TO t")
        await until(partial(compared, harness))
        await harness.equal("t")


@pytest.mark.parametrize("running", [True, False])
async def test_a_table_that_was_not_published_for_a_while_is_compared(
    harness: CaptureHarness, *, running: bool
) -> None:
    await harness.declare("t")
    gap = [
        "ALTER PUBLICATION bridge DROP TABLE t",
        "UPDATE t SET s = 'not told' WHERE id < 10",
        "ALTER PUBLICATION bridge ADD TABLE t",
    ]
    async with harness.capturing("one"):
        await harness.equal("t")
        if running:
            harness.run(*gap)
            await until(partial(compared, harness))
            await harness.equal("t")
    if not running:
        harness.run(*gap)
        async with harness.capturing("two"):
            await until(partial(compared, harness))
            await harness.equal("t")


@pytest.mark.parametrize("published", [True, False])
async def test_a_table_that_is_gone_for_a_while_spares_the_others(
    harness: CaptureHarness, *, published: bool
) -> None:
    """Also when the bridge is started meanwhile; it is compared once it is there and published."""
    harness.run(TABLE.format("u"))
    if published:
        harness.run(
            "CREATE PUBLICATION bridge FOR ALL TABLES WITH (publish_via_partition_root = true)"
        )
    await harness.declare("t", "u")
    async with harness.capturing("one") as capture:
        await harness.equal("t", "u")
        harness.run("DROP TABLE t")
        await until(lambda: "t" in capture.stats.troubles)
        assert "does not exist" in capture.stats.troubles["t"]
    async with harness.capturing("two") as capture:
        await until(lambda: "t" in capture.stats.troubles)
        harness.run("INSERT INTO u VALUES (1, 'x')")
        await harness.equal("u")
        harness.run(*REPLACED["made again"][1:], "INSERT INTO t VALUES (31, 'then')")
        if not published:
            harness.run("ALTER PUBLICATION bridge ADD TABLE t")
        await until(partial(compared, harness))
        await until(lambda: not capture.stats.troubles)
        harness.run("INSERT INTO t VALUES (32, 'then')", "UPDATE t SET s = 'now' WHERE id = 31")
        await harness.equal("t", "u")


async def test_a_table_that_stays_what_it_is_is_never_compared(harness: CaptureHarness) -> None:
    """Neither vacuuming, rewriting nor altering makes it another table."""
    await harness.declare("t")
    async with harness.capturing("one") as capture:
        await harness.equal("t")
        harness.run("VACUUM FULL t", "ALTER TABLE t ADD n int", "CLUSTER t USING t_pkey")
        harness.run("INSERT INTO t VALUES (21, 'x', 2)", "UPDATE t SET n = 1")
        await harness.equal("t")
        seen = capture.stats.progress.checkpoint
        assert seen is not None
        before = load(seen).tables
    async with harness.capturing("two") as capture:
        harness.run("INSERT INTO t VALUES (22, 'x', 2)")
        await harness.equal("t")
        assert load(capture.stats.progress.checkpoint or b"").tables == before != {}
        assert not any(result.id.startswith("stale") for result in capture.stats.progress.results)
        assert is_streaming(capture, harness.entities)


def test_a_checkpoint_of_an_earlier_release_knows_no_tables() -> None:
    old = b'{"lsn":"0/1000","steps":2,"system":"77"}'
    assert load(old) == SlotCheckpoint(0x1000, 2, "77", {})
    assert load(old).dump() == old
    fresh = SlotCheckpoint(0x1000, 2, "77", {"t": Binding(1, 2)})
    assert load(fresh.dump()) == fresh
