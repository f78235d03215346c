"""A feed whose tables, triggers or rows are gone is told, never silence."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.capture.checkpoint.record import STALE_PREFIX
from bridge.connector import Batch, Source
from bridge.model.errors import ConfigurationError, HistoryLost
from connectors.journal import connector
from tests.capture.databases import SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness
from tests.connectors.checkpoints import fixed_checkpoint
from tests.waiting import until

from .conftest import Legacy

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
REBUILT = (
    "BEGIN",
    "CREATE TABLE new_t (id INTEGER PRIMARY KEY, a)",
    "INSERT INTO new_t SELECT id, a FROM t",
    "DROP TABLE t",
    "ALTER TABLE new_t RENAME TO t",
    "COMMIT",
)
RENAMED = (
    "BEGIN",
    "ALTER TABLE t RENAME TO old_t",
    TABLE,
    "INSERT INTO t SELECT id, a FROM old_t",
    "COMMIT",
)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with open_harness(tmp_path, SqliteDatabase(tmp_path / "erp.db")) as harness:
        yield harness


async def begun(legacy: Legacy, after: bytes | None = None, **options: int) -> Source:
    system = legacy.system("t", **{"purge_after_ms": 0, **options})
    await connector.setup(system)
    source = await connector.source(system)
    try:
        await source.open(after)
    except BaseException:
        await source.close()
        raise
    return source


async def taken(source: Source) -> Batch:
    """What there is, acknowledged."""
    batch = await source.read(1000, 0)
    await source.ack(batch.checkpoint)
    return batch


async def everything(source: Source, after: bytes | None) -> None:
    """Open it, if it has to be, and read to the end."""
    if after is not None:
        await source.open(after)
    while (await source.read(10, 0)).changes:
        pass


@pytest.mark.parametrize("migration", [REBUILT, RENAMED], ids=["rebuilt", "renamed"])
async def test_a_table_that_a_migration_makes_anew_is_in_trouble_until_set_up_and_then_compared(
    legacy: Legacy, migration: tuple[str, ...]
) -> None:
    legacy.run(TABLE, "INSERT INTO t VALUES (1, 1)")
    source = await begun(legacy)
    assert (await taken(source)).troubles == {}
    legacy.run(*migration)
    legacy.run("INSERT INTO t VALUES (2, 2)")
    batch = await taken(source)
    assert "bridgectl setup" in batch.troubles["t"]
    assert batch.stale == []
    await connector.setup(legacy.system("t"))
    legacy.run("UPDATE t SET a = 3 WHERE id = 2")
    batch = await taken(source)
    assert batch.troubles == {}
    assert [stale.tables for stale in batch.stale] == [("t",)]
    assert [change.new for change in batch.changes] == [(2, 3)]
    assert (await taken(source)).stale == []
    await source.close()


async def test_what_a_renamed_table_is_told_is_not_told_of_the_new_one(legacy: Legacy) -> None:
    """The triggers went with it: emptying it must not empty the log."""
    legacy.run(TABLE, "INSERT INTO t VALUES (1, 1)")
    source = await begun(legacy)
    legacy.run(*RENAMED, "DELETE FROM old_t")
    batch = await taken(source)
    await connector.setup(legacy.system("t"))
    legacy.run("DELETE FROM old_t", "INSERT INTO old_t VALUES (5, 5)")
    later = await taken(source)
    await source.close()
    assert "renamed to 'old_t'" in batch.troubles["t"]
    assert (batch.changes, later.changes) == ([], [])
    assert [stale.tables for stale in later.stale] == [("t",)]


async def test_a_table_renamed_and_renamed_back_is_compared(legacy: Legacy) -> None:
    legacy.run(TABLE, "INSERT INTO t VALUES (1, 1)")
    source = await begun(legacy)
    legacy.run("ALTER TABLE t RENAME TO u", "UPDATE u SET a = 2")
    assert "t" in (await taken(source)).troubles
    after = (await taken(source)).checkpoint
    await source.close()
    legacy.run("ALTER TABLE u RENAME TO t")
    source = await connector.source(legacy.system("t"))
    await source.open(after)
    batch = await taken(source)
    await source.close()
    assert batch.troubles == {}
    assert [stale.tables for stale in batch.stale] == [("t",)]


async def test_a_table_rebuilt_and_set_up_while_the_bridge_was_stopped_is_compared(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    after = (await taken(source)).checkpoint
    await source.close()
    legacy.run(*REBUILT, "INSERT INTO t VALUES (2, 2)")
    source = await begun(legacy, after)
    batch = await taken(source)
    await source.close()
    assert [stale.tables for stale in batch.stale] == [("t",)]


async def test_set_up_after_an_added_column_compares_nothing(legacy: Legacy) -> None:
    """No change was missed: the triggers were there all the time."""
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run("ALTER TABLE t ADD COLUMN b")
    await connector.setup(legacy.system("t"))
    legacy.run("INSERT INTO t VALUES (1, 1, 1)")
    batch = await taken(source)
    await source.close()
    assert (batch.stale, batch.troubles) == ([], {})
    assert [change.new for change in batch.changes] == [(1, 1, 1)]


async def test_dropped_triggers_and_a_dropped_table_are_told(legacy: Legacy) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    (name,) = legacy.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")[-1]
    legacy.run(f"DROP TRIGGER {name}")
    assert "lost its journal triggers" in (await taken(source)).troubles["t"]
    legacy.run("DROP TABLE t")
    assert "no longer in the database" in (await taken(source)).troubles["t"]
    legacy.run("DROP TABLE bridge_journal_state")
    with pytest.raises(ConfigurationError, match="its tables are gone"):
        await source.read(10, 0)
    await source.close()


DELETED: dict[str, tuple[str, ...]] = {
    "all": ("DELETE FROM bridge_journal",),
    "all, and more": ("DELETE FROM bridge_journal", "INSERT INTO t VALUES (99, 1)"),
    "one between": ("DELETE FROM bridge_journal WHERE seq = 8",),
    "the last": ("DELETE FROM bridge_journal WHERE seq = 9",),
    "numbers begin again": ("DELETE FROM bridge_journal", "DELETE FROM sqlite_sequence"),
}


@pytest.mark.parametrize("deleted", DELETED.values(), ids=DELETED)
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_rows_deleted_from_the_journal_are_lost_history(
    legacy: Legacy, deleted: tuple[str, ...], running: bool
) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run(*(f"INSERT INTO t VALUES ({number}, 1)" for number in range(6)))
    after = (await taken(source)).checkpoint
    legacy.run(*(f"INSERT INTO t VALUES ({number}, 1)" for number in range(6, 9)), *deleted)
    if not running:
        await source.close()
        (finding,) = await connector.check_resuming(legacy.system("t"), fixed_checkpoint(after))
        assert "--accept-loss" in finding.what
        source = await connector.source(legacy.system("t"))
        with pytest.raises(HistoryLost, match="--accept-loss"):
            await everything(source, after)
    else:
        with pytest.raises(HistoryLost, match="--accept-loss"):
            await everything(source, None)
    await source.close()


async def test_a_journal_whose_name_was_deleted_is_lost_history_even_after_set_up(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    after = (await taken(source)).checkpoint
    legacy.run("DELETE FROM bridge_journal_state")
    with pytest.raises(HistoryLost, match="created again"):
        await source.read(10, 0)
    await source.close()
    with pytest.raises(HistoryLost, match="created again"):
        await begun(legacy, after)


async def test_rows_of_a_layout_that_nobody_knows_any_more_are_lost_history(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    after = (await taken(source)).checkpoint
    await source.close()
    legacy.run("INSERT INTO t VALUES (1, 1)", "DELETE FROM bridge_journal_layout")
    source = await connector.source(legacy.system("t"))
    await source.open(after)
    with pytest.raises(HistoryLost, match="layout 1"):
        await source.read(10, 0)
    await source.close()
    # A number that is in use in the journal isn't given to another layout.
    await connector.setup(legacy.system("t"))
    assert legacy.rows("SELECT id FROM bridge_journal_layout") == [(2,)]


async def test_a_check_beside_the_running_bridge_finds_nothing(legacy: Legacy) -> None:
    """It acknowledges what the checkpoint that the check has read doesn't know of yet."""
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    after = (await taken(source)).checkpoint
    assert await connector.check_resuming(legacy.system("t"), fixed_checkpoint(after)) == []
    legacy.run("INSERT INTO t VALUES (2, 1)")
    assert await connector.check_resuming(legacy.system("t"), fixed_checkpoint(after)) == []

    async def move() -> bytes:
        """Capture goes on before the log's checkpoint is read, and after it."""
        legacy.run("INSERT INTO t (a) VALUES (1)")
        checkpoint = (await taken(source)).checkpoint
        legacy.run("INSERT INTO t (a) VALUES (1)")
        await taken(source)
        return checkpoint

    assert await connector.check_resuming(legacy.system("t"), move) == []
    # Nobody runs, and the log is older than what was acknowledged: a loss, whoever did it.
    [loss] = await connector.check_resuming(legacy.system("t"), fixed_checkpoint(after))
    assert "what lies between is gone" in loss.what
    [loss] = await connector.check_resuming(legacy.system("t"), fixed_checkpoint(None))
    assert "the log has no checkpoint" in loss.what
    await source.close()


async def test_a_journal_emptied_when_all_of_it_was_read_is_no_loss(legacy: Legacy) -> None:
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 1)")
    await taken(source)
    legacy.run("DELETE FROM bridge_journal", "INSERT INTO t VALUES (3, 1)")
    assert [change.new for change in (await taken(source)).changes] == [(3, 1)]
    await source.close()


async def test_a_second_bridge_is_told_that_it_is_not_the_one_that_acknowledges(
    legacy: Legacy,
) -> None:
    """It had taken 50 of 56 rows away from the first, whose status was 0."""
    legacy.run(TABLE)
    first, second = await begun(legacy), await begun(legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 1)")
    await taken(first)
    with pytest.raises(HistoryLost, match="bridge with another log"):
        await taken(second)
    with pytest.raises(HistoryLost, match="bridge with another log"):
        await second.read(10, 0)
    legacy.run("INSERT INTO t VALUES (3, 1)")
    assert [change.new for change in (await taken(first)).changes] == [(3, 1)]
    await first.close()
    await second.close()


async def test_a_bridge_of_an_earlier_version_that_acknowledges_is_found_by_the_gap(
    legacy: Legacy,
) -> None:
    """It writes no owner."""
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run(*(f"INSERT INTO t VALUES ({number}, 1)" for number in range(6)))
    await taken(source)
    legacy.run(
        "INSERT INTO t VALUES (7, 1)",
        "DELETE FROM bridge_journal WHERE seq <= 7",
        "UPDATE bridge_journal_state SET confirmed = 7",
    )
    with pytest.raises(HistoryLost, match="what lies between is gone"):
        await source.read(10, 0)
    await source.close()


async def test_a_number_and_a_text_that_are_one_key_in_the_log_are_told(legacy: Legacy) -> None:
    """Two rows overwrote each other in the log, and one delete removed both."""
    legacy.run(
        "CREATE TABLE t (k PRIMARY KEY, a)",
        "INSERT INTO t VALUES (1, 'number'), ('x', 1), ('01', 2), (2.5, 3)",
    )
    source = await begun(legacy)
    assert (await taken(source)).troubles == {}
    assert await connector.check(legacy.system("t")) == []
    legacy.run("INSERT INTO t VALUES ('1', 'text')")
    batch = await taken(source)
    assert "the number 1 and the text '1'" in batch.troubles["t"]
    (finding,) = await connector.check(legacy.system("t"))
    assert finding.fatal
    legacy.run("DELETE FROM t WHERE k = '1'")
    batch = await taken(source)
    assert batch.troubles == {}
    assert [stale.tables for stale in batch.stale] == [("t",)]
    await source.close()


def restore_in_place(backup: Path, legacy: Legacy) -> None:
    with closing(sqlite3.connect(backup)) as source:
        source.backup(legacy.db)


def restore_by_rename(backup: Path, legacy: Legacy) -> None:
    legacy.db.close()
    for name in ("erp.db-wal", "erp.db-shm"):
        (legacy.path.parent / name).unlink(missing_ok=True)
    backup.replace(legacy.path)
    legacy.db = sqlite3.connect(legacy.path, isolation_level=None)


@pytest.mark.parametrize("restore", [restore_in_place, restore_by_rename])
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_a_backup_of_the_acknowledged_position_restored_and_written_on_is_told(
    legacy: Legacy,
    tmp_path: Path,
    restore: Callable[[Path, Legacy], None],
    running: bool,
) -> None:
    """Its counters are those of the log: only the change itself says that it is another one."""
    legacy.run(TABLE)
    source = await begun(legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    await taken(source)
    await taken(source)
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        legacy.db.backup(backup)
    legacy.run("INSERT INTO t VALUES (2, 1)", "INSERT INTO t VALUES (3, 1)")
    after = (await source.read(10, 0)).checkpoint
    if not running:
        await source.close()
    restore(tmp_path / "backup.db", legacy)
    legacy.run("INSERT INTO t VALUES (4, 1)", "INSERT INTO t VALUES (5, 1)")
    legacy.run("INSERT INTO t VALUES (6, 1)")
    if not running:
        source = await connector.source(legacy.system("t"))
    with pytest.raises(HistoryLost, match="another change"):
        await (source.read(10, 0) if running else source.open(after))
    await source.close()


async def test_a_database_put_in_the_place_of_the_old_one_is_read_and_written_from_then_on(
    legacy: Legacy, tmp_path: Path
) -> None:
    """Open connections would stay with the deleted file for ever."""
    legacy.run(TABLE)
    source = await begun(legacy)
    reader = await connector.reader(legacy.system("t"))
    assert (await reader.fetch("t", ["id"], [(1,)])).rows == []
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        legacy.db.backup(backup)
    restore_by_rename(tmp_path / "backup.db", legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    assert (await reader.fetch("t", ["id"], [(1,)])).rows == [(1, 1)]
    assert [change.new for change in (await taken(source)).changes] == [(1, 1)]
    await reader.close()
    await source.close()


async def test_rows_of_a_statement_that_failed_half_way_are_told_and_later_ones_too(
    legacy: Legacy,
) -> None:
    """OR FAIL keeps rows whose numbers SQLite doesn't write down: they were given out twice."""
    legacy.run(TABLE, "INSERT INTO t VALUES (3, 3)")
    source = await begun(legacy)
    with pytest.raises(sqlite3.IntegrityError):
        legacy.run("INSERT OR FAIL INTO t VALUES (1, 1), (2, 2), (3, 0)")
    first = await taken(source)
    legacy.run("INSERT INTO t VALUES (4, 4)")
    second = await taken(source)
    await source.close()
    rows = [change.new for change in (*first.changes, *second.changes)]
    assert rows == [(1, 1), (2, 2), (4, 4)]


async def test_a_journal_and_a_checkpoint_of_an_earlier_version_are_continued(
    legacy: Legacy,
) -> None:
    """Its state has no owner, its checkpoint three parts, its triggers other names, and it deletes
    every row that was acknowledged.
    """
    legacy.run(TABLE)
    legacy.db.executescript(Path(__file__).with_name("earlier_version.sql").read_text())
    legacy.run("INSERT INTO t VALUES (1, 1)", "DELETE FROM bridge_journal")
    legacy.run("UPDATE bridge_journal_state SET confirmed = 1")
    ((incarnation,),) = legacy.rows("SELECT incarnation FROM bridge_journal_state")
    system = legacy.system("t", purge_after_ms=0)
    source = await connector.source(system)
    await source.open(json.dumps([incarnation, [1], [1]]).encode())
    legacy.run("INSERT INTO t VALUES (2, 1)", "REPLACE INTO t VALUES (2, 2)")
    batch = await taken(source)
    assert [change.new for change in batch.changes] == [(2, 1), (2, 2)]
    assert batch.troubles == {}
    problems = [finding.what for finding in await connector.check(system)]
    assert any("of an earlier version" in what for what in problems)
    await connector.setup(system)
    assert await connector.check(system) == []
    legacy.run("INSERT INTO t VALUES (3, 1)")
    batch = await taken(source)
    assert [change.new for change in batch.changes] == [(3, 1)]
    assert [stale.tables for stale in batch.stale] == [("t",)]
    assert legacy.rows("SELECT owner IS NOT NULL FROM bridge_journal_state") == [(1,)]
    await source.close()
    names = legacy.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1")
    assert [name for (name,) in names] == [
        f"bridge_journal_{event}_t"
        for event in (
            "after_delete",
            "after_insert",
            "after_update",
            "before_insert",
            "before_update",
        )
    ]


async def test_capture_compares_a_rebuilt_table_by_itself_once_it_is_set_up(
    rig: CaptureHarness,
) -> None:
    table = "CREATE TABLE {} (id INTEGER PRIMARY KEY, a INTEGER)".format
    rebuilt = [table("new_t") if "TABLE new_t (" in text else text for text in REBUILT]
    rig.run(table("t"), "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 2)")
    await rig.declare("t")
    async with rig.capturing() as capture:
        await rig.equal("t")
        rig.run(*rebuilt, "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (3, 3)")
        await until(lambda: "t" in capture.stats.troubles)
    async with rig.capturing("two") as capture:
        await until(lambda: "t" in capture.stats.troubles)
        await rig.database.connector.setup(rig.system())
        await until(lambda: not capture.stats.troubles)
        await rig.equal("t")
        await until(
            lambda: any(
                result.id.startswith(STALE_PREFIX) and not result.failed
                for result in capture.stats.progress.results
            )
        )
