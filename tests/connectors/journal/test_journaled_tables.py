"""Tables that are renamed, rebuilt or dropped, and triggers that are gone: told, never silence."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.capture.checkpoint.record import STALE_PREFIX
from bridge.model.errors import ConfigurationError
from connectors.journal import connector
from tests.capture.databases import SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness
from tests.connectors.checkpoints import fixed_checkpoint
from tests.waiting import until

from .conftest import Legacy
from .opened import TABLE, begun, taken

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
async def harness(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    async with open_harness(tmp_path, SqliteDatabase(tmp_path / "erp.db")) as opened_harness:
        yield opened_harness


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
    assert "the changes in between are gone" in loss.what
    [loss] = await connector.check_resuming(legacy.system("t"), fixed_checkpoint(None))
    assert "the log has no checkpoint" in loss.what
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


async def test_capture_compares_a_rebuilt_table_by_itself_once_it_is_set_up(
    harness: CaptureHarness,
) -> None:
    table = "CREATE TABLE {} (id INTEGER PRIMARY KEY, a INTEGER)".format
    rebuilt = [table("new_t") if "TABLE new_t (" in text else text for text in REBUILT]
    harness.run(table("t"), "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 2)")
    await harness.declare("t")
    async with harness.capturing() as capture:
        await harness.equal("t")
        harness.run(*rebuilt, "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (3, 3)")
        await until(lambda: "t" in capture.stats.troubles)
    async with harness.capturing("two") as capture:
        await until(lambda: "t" in capture.stats.troubles)
        await harness.database.connector.setup(harness.system())
        await until(lambda: not capture.stats.troubles)
        await harness.equal("t")
        await until(
            lambda: any(
                result.id.startswith(STALE_PREFIX) and not result.failed
                for result in capture.stats.progress.results
            )
        )
