"""Where the source continues; what the journal can't tell any more stops it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bridge.connector import Ask
from bridge.model.errors import ConfigurationError, HistoryLost
from connectors.journal import connector
from tests.connectors.checkpoints import fixed_checkpoint

from .conftest import Legacy
from .opened import TABLE, begun, everything, opened, taken


class TestHistory:
    """What the journal can't tell any more stops the source."""

    async def test_a_log_that_is_behind_the_acknowledged_journal_is_refused(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t", purge_after_ms=0))
        early = (await source.read(10, 0)).checkpoint
        legacy.run("INSERT INTO t VALUES (1, 1)")
        await source.ack((await source.read(10, 0)).checkpoint)
        await source.close()
        for after, reason in ((early, "the changes in between are gone"), (None, "no checkpoint")):
            source = await connector.source(legacy.system("t"))
            with pytest.raises(HistoryLost, match=reason):
                await source.open(after)
            await source.close()
        legacy.run("UPDATE bridge_journal_state SET confirmed = NULL")
        source = await opened(legacy.system("t"))
        await source.close()

    async def test_a_journal_that_was_dropped_and_made_again_is_refused(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t"))
        after = (await source.read(10, 0)).checkpoint
        await source.close()
        legacy.run("DROP TABLE bridge_journal_state")
        await connector.setup(legacy.system("t"))
        source = await connector.source(legacy.system("t"))
        with pytest.raises(HistoryLost, match="created again"):
            await source.open(after)
        await source.close()

    @pytest.mark.parametrize("writes_after_restore", [0, 30])
    async def test_a_restored_backup_is_refused_even_after_new_writes_passed_the_checkpoint(
        self, legacy: Legacy, tmp_path: Path, writes_after_restore: int
    ) -> None:
        legacy.run(TABLE)
        source = await opened(legacy.system("t", purge_after_ms=0))
        copy = tmp_path / "backup.db"
        with sqlite3.connect(copy) as backup:
            legacy.db.backup(backup)
        backup.close()
        after = b""
        for number in range(10):
            legacy.run(f"INSERT INTO t VALUES ({number}, 1)")
            after = (await source.read(10, 0)).checkpoint
            await source.ack(after)
        await source.close()
        legacy.db.close()
        for name in ("erp.db-wal", "erp.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        shutil.copy(copy, legacy.path)
        legacy.db = sqlite3.connect(legacy.path, isolation_level=None)
        for number in range(writes_after_restore):
            legacy.run(f"INSERT INTO t VALUES ({number}, 2)")
        source = await connector.source(legacy.system("t"))
        with pytest.raises(HistoryLost, match="backup"):
            await source.open(after)
        await source.close()

    async def test_a_checkpoint_of_another_connector_is_refused(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        await connector.setup(legacy.system("t"))
        source = await connector.source(legacy.system("t"))
        with pytest.raises(ConfigurationError, match="not a journal's"):
            await source.open(b"\x00\x01")
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
    with pytest.raises(HistoryLost, match="the changes in between are gone"):
        await source.read(10, 0)
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
    assert (await reader.fetch(Ask("t", ("id",), [(1,)]))).rows == []
    with closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        legacy.db.backup(backup)
    restore_by_rename(tmp_path / "backup.db", legacy)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    assert (await reader.fetch(Ask("t", ("id",), [(1,)]))).rows == [(1, 1)]
    assert [change.new for change in (await taken(source)).changes] == [(1, 1)]
    await reader.close()
    await source.close()


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
