from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.connector import CREATE, Source, System, TableUse
from bridge.model.errors import ConfigurationError, HistoryLost, RetryLater
from bridge.plan.steps import MISSING
from connectors.journal import connector
from connectors.journal.dialects.choose import dialect_for
from connectors.journal.purge import next_row_count
from connectors.journal.source import MAX_PURGE_S, JournalSource
from connectors.sql.engine import make_engine
from connectors.sql.sqlite.connection import BEGIN_OPTION

from .conftest import Legacy
from .replay import Rebuilt

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


async def opened(system: System, after: bytes | None = None) -> Source:
    await connector.setup(system)
    source = await connector.source(system)
    await source.open(after)
    return source


async def test_without_a_checkpoint_only_what_commits_afterwards_is_told(legacy: Legacy) -> None:
    legacy.run(TABLE)
    await connector.setup(legacy.system("t"))
    legacy.run("INSERT INTO t VALUES (1, 'before')")
    source = await opened(legacy.system("t"))
    legacy.run("INSERT INTO t VALUES (2, 'after')")
    assert [change.new for change in (await source.read(10, 0)).changes] == [(2, "after")]
    await source.close()


async def test_an_uncommitted_change_is_not_told_and_a_rolled_back_one_never(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await opened(legacy.system("t"))
    legacy.run("BEGIN", "INSERT INTO t VALUES (1, 'lost')")
    assert (await source.read(10, 0)).changes == []
    legacy.run("ROLLBACK", "BEGIN", "INSERT INTO t VALUES (1, 'kept')")
    assert (await source.read(10, 0)).changes == []
    legacy.run("COMMIT")
    assert [change.new for change in (await source.read(10, 0)).changes] == [(1, "kept")]
    await source.close()


async def test_a_waiting_read_returns_soon_after_a_commit_of_another_connection(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await opened(legacy.system("t", poll_ms=20))
    reading = asyncio.create_task(source.read(10, 30))
    await asyncio.sleep(0.1)
    assert not reading.done()
    began = time.monotonic()
    legacy.run("INSERT INTO t VALUES (1, 1)")
    assert len((await reading).changes) == 1
    assert time.monotonic() - began < 15, "it would have waited for 30 s"
    await source.close()


async def test_acknowledged_rows_are_deleted_but_for_the_last_and_only_these(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await opened(legacy.system("t", purge_batch_rows=3, purge_after_ms=0))
    for number in range(10):
        legacy.run(f"INSERT INTO t VALUES ({number}, 1)")
    batch = await source.read(7, 0)
    assert len(batch.changes) == 7
    await source.ack(batch.checkpoint)
    assert legacy.rows("SELECT seq FROM bridge_journal") == [(7,), (8,), (9,), (10,)]
    assert [change.new[0] for change in (await source.read(7, 0)).changes] == [7, 8, 9]
    await source.close()
    assert legacy.rows("SELECT count(*) FROM bridge_journal") == [(4,)]


async def test_wide_rows_end_a_batch_before_its_limit(legacy: Legacy) -> None:
    """Memory is bounded by the bytes of a batch, not by its rows."""
    legacy.run(TABLE)
    source = await opened(legacy.system("t"))
    ids = f"json_each('{list(range(1, 201))}')"
    legacy.run(f"INSERT INTO t SELECT value, zeroblob(300000) FROM {ids}")
    batches = [await source.read(2500, 0)]
    while batches[-1].changes:
        batches.append(await source.read(2500, 0))
    assert max(len(batch.changes) for batch in batches) < 100
    numbers = [change.new[0] for batch in batches for change in batch.changes]
    assert numbers == list(range(1, 201))
    await source.close()


async def test_the_legacy_program_is_never_blocked_for_long_by_a_large_clean_up(
    legacy: Legacy,
) -> None:
    legacy.run(TABLE)
    source = await opened(legacy.system("t", purge_batch_rows=500, purge_after_ms=0))
    legacy.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO t SELECT i, i FROM n"
    )
    batch = await source.read(100_000, 0)
    assert len(batch.changes) == 20_000

    def writes() -> float:
        other = sqlite3.connect(legacy.path, isolation_level=None, timeout=60)
        longest = 0.0
        for number in range(50):
            began = time.monotonic()
            other.execute("INSERT INTO t VALUES (?, 0)", (100_000 + number,))
            longest = max(longest, time.monotonic() - began)
        other.close()
        return longest

    async def clean_up() -> None:
        while legacy.rows("SELECT min(seq) FROM bridge_journal") != [(20_000,)]:
            await source.ack(batch.checkpoint)

    longest, _ = await asyncio.gather(asyncio.to_thread(writes), clean_up())
    await source.close()
    assert longest < 20
    assert legacy.rows("SELECT count(*) FROM bridge_journal") == [(51,)]


async def test_a_database_locked_by_the_legacy_program_delays_the_clean_up_and_nothing_else(
    legacy: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.journal.source.BUSY_TIMEOUT_S", 0.05)
    legacy.run(TABLE)
    source = await opened(legacy.system("t", purge_after_ms=0))
    legacy.run("INSERT INTO t VALUES (0, 1)", "INSERT INTO t VALUES (1, 1)")
    batch = await source.read(10, 0)
    legacy.run("BEGIN IMMEDIATE")
    await source.ack(batch.checkpoint)
    with pytest.raises(RetryLater):
        await source.write_watermark("w")
    legacy.run("INSERT INTO t VALUES (2, 1)", "COMMIT")
    assert legacy.rows("SELECT count(*) FROM bridge_journal") == [(3,)]
    await source.ack(batch.checkpoint)
    assert legacy.rows("SELECT seq FROM bridge_journal") == [(2,), (3,)]
    await source.close()


@pytest.mark.parametrize(("mode", "level"), [("WAL", 1), ("DELETE", 2)])
async def test_acknowledging_is_not_synced_in_wal_mode_and_commands_are(
    legacy: Legacy, mode: str, level: int
) -> None:
    """A synced commit holds the lock a hundred times longer, for which other writers are refused."""
    legacy.run(f"PRAGMA journal_mode = {mode}", TABLE)
    system = legacy.system("t")
    await connector.setup(system)
    engine = make_engine(system)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()
    dialect_for(system).prepare_writes(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    engine.dispose()


async def test_watermarks_are_synced_because_the_log_may_go_on_from_one(legacy: Legacy) -> None:
    """One that a power failure takes away would look as if a backup had been restored."""
    legacy.run("PRAGMA journal_mode = WAL", TABLE)
    system = legacy.system("t")
    await connector.setup(system)
    dialect, engine = dialect_for(system), make_engine(system)
    dialect.prepare_writes(engine)
    levels: list[int] = []

    @sa.event.listens_for(engine, "commit")
    def committed(connection: sa.Connection) -> None:
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    with engine.connect().execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"}) as connection:
        for number in (1, 2):
            dialect.watermark(connection, f"w{number}")
            dialect.confirm(connection, (number,), 10, "owner")
    engine.dispose()
    assert levels == [2, 1, 2, 1]


async def test_what_another_bridge_acknowledges_is_not_deleted(legacy: Legacy) -> None:
    """It may have begun to since this one last looked."""
    legacy.run(TABLE)
    system = legacy.system("t")
    await connector.setup(system)
    legacy.run("INSERT INTO t VALUES (1, 1), (2, 1), (3, 1)")
    dialect, engine = dialect_for(system), make_engine(system)
    with engine.connect() as connection:
        dialect.confirm(connection, (2,), 10, "this one")
        with pytest.raises(HistoryLost, match="acknowledged by a bridge with another log"):
            dialect.confirm(connection, (3,), 10, "another one")
    engine.dispose()
    assert legacy.rows("SELECT seq FROM bridge_journal") == [(2,), (3,)]


async def test_a_first_acknowledgement_that_was_lost_is_no_lost_history(legacy: Legacy) -> None:
    """The power failed after the log had its checkpoint: the change at the mark is still the log's."""
    legacy.run(TABLE)
    await connector.setup(legacy.system("t"))
    source = await connector.source(legacy.system("t"))
    await source.open(None)
    legacy.run("INSERT INTO t VALUES (1, 1)")
    await source.ack((await source.read(10, 2)).checkpoint)
    legacy.run("INSERT INTO t VALUES (2, 1)")
    checkpoint = (await source.read(10, 2)).checkpoint
    await source.close()
    legacy.run("UPDATE bridge_journal_state SET confirmed = NULL, owner = NULL")
    source = await connector.source(legacy.system("t"))
    await source.open(checkpoint)
    legacy.run("INSERT INTO t VALUES (3, 1)")
    assert [change.new[0] for change in (await source.read(10, 2)).changes] == [3]
    await source.close()


async def test_an_acknowledgement_of_many_rows_lets_capture_go_on_and_the_next_one_continues(
    legacy: Legacy,
) -> None:
    """After an outage millions of rows may wait; the log waits for the acknowledgement."""
    legacy.run(TABLE)
    system = legacy.system("t")
    await connector.setup(system)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += MAX_PURGE_S / 4
        return now

    source = JournalSource(
        system, dialect_for(system), purge_batch_rows=10, purge_after_seconds=3600, monotonic=clock
    )
    await source.open(None)
    now = 10_000.0
    legacy.run(*(f"INSERT INTO t VALUES ({number}, 1)" for number in range(100)))
    checkpoint = (await source.read(1000, 1)).checkpoint
    left: list[int] = []
    while left[-1:] != [1]:
        await source.ack(checkpoint)
        left.append(len(legacy.rows("SELECT seq FROM bridge_journal")))
        assert len(left) < 20
    assert left[0] > 50
    await source.close()


def test_transactions_that_forget_rows_are_as_large_as_the_lock_may_be_held() -> None:
    rows = [50]
    for held in (0.0001, 0.0001, 0.0015, 0.01, 0.1, 0.1):
        rows.append(next_row_count(rows[-1], held, 150))
    assert rows == [50, 100, 150, 150, 75, 50, 50]


async def test_an_acknowledgement_that_a_power_failure_undid_is_no_lost_history(
    legacy: Legacy,
) -> None:
    """The change at the log's checkpoint is still the same."""
    legacy.run(TABLE)
    source = await opened(legacy.system("t", purge_after_ms=0))
    for number in range(3):
        legacy.run(f"INSERT INTO t VALUES ({number}, 1)")
        await source.ack((await source.read(10, 0)).checkpoint)
    after = (await source.read(10, 0)).checkpoint
    await source.close()
    legacy.run("UPDATE bridge_journal_state SET confirmed = 1")
    source = await opened(legacy.system("t"), after)
    legacy.run("INSERT INTO t VALUES (9, 1)")
    assert [change.new[0] for change in (await source.read(10, 0)).changes] == [9]
    await source.close()


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
        for after, reason in ((early, "what lies between is gone"), (None, "no checkpoint")):
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


class TestSetUp:
    async def test_set_up_runs_what_setup_sql_shows_and_then_nothing_is_left(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        system = legacy.system("t")
        statements = connector.setup_sql(system)
        assert await connector.setup(system) == statements
        assert connector.setup_sql(system) == []
        assert await connector.check(system) == []

    async def test_what_set_up_shows_can_be_run_by_hand(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        legacy.run(*connector.setup_sql(legacy.system("t")))
        assert await connector.check(legacy.system("t")) == []

    async def test_a_wider_table_widens_the_journal(self, legacy: Legacy) -> None:
        legacy.run(TABLE, "CREATE TABLE w (id INTEGER PRIMARY KEY, a, b, c)")
        await connector.setup(legacy.system("t"))
        source = await opened(legacy.system("t", "w"))
        legacy.run("INSERT INTO t VALUES (1, 2)", "INSERT INTO w VALUES (1, 2, 3, 4)")
        assert [change.new for change in (await source.read(10, 0)).changes] == [
            (1, 2),
            (1, 2, 3, 4),
        ]
        await source.close()

    async def test_every_problem_is_found_at_once_with_a_way_out(self, legacy: Legacy) -> None:
        legacy.run(
            "PRAGMA journal_mode = DELETE",
            "CREATE TABLE nokey (a)",
            "CREATE TABLE weak (a, b)",
            "CREATE VIEW v AS SELECT 1 AS id",
            "CREATE TABLE e (id INTEGER PRIMARY KEY, s)",
            "CREATE UNIQUE INDEX e_lower ON e (lower(s))",
        )
        uses = (TableUse("nokey"), TableUse("weak", ("a", "b")), TableUse("v", ("id",)), "e", "ee")
        findings = await connector.check(legacy.system(*uses))
        problems = "\n".join(f"{finding.what} >> {finding.fix}" for finding in findings)
        assert "'nokey' has no primary key" in problems
        assert "CREATE UNIQUE INDEX bridge_key_weak ON weak (a, b)" in problems
        assert "'v' is a view" in problems
        assert "did you mean 'e'" in problems
        assert "PRAGMA journal_mode = WAL" in problems
        assert "'e_lower'" in problems
        with pytest.raises(ConfigurationError, match="no primary key"):
            connector.setup_sql(legacy.system("nokey"))

    async def test_a_table_without_primary_key_is_captured_by_its_declared_unique_key(
        self, legacy: Legacy
    ) -> None:
        legacy.run("CREATE TABLE t (a NOT NULL, b)", "CREATE UNIQUE INDEX i ON t (a)")
        source = await opened(legacy.system(TableUse("t", ("a",))))
        legacy.run("INSERT INTO t VALUES (1, 2)", "REPLACE INTO t VALUES (1, 3)")
        rebuilt = Rebuilt()
        rebuilt.take((await source.read(10, 0)).changes)
        await source.close()
        assert rebuilt.rows == {1: (1, 3)}

    async def test_a_missing_file_is_named_and_not_created(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/none.db"
        system = System("acme", "erp", url, url, None, (TableUse("t"),))
        with pytest.raises(ConfigurationError, match=r"no SQLite database at .*none\.db"):
            await connector.check(system)
        assert not (tmp_path / "none.db").exists()

    async def test_a_source_without_a_journal_says_how_to_make_one(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        source = await connector.source(legacy.system("t"))
        with pytest.raises(ConfigurationError, match="bridgectl setup"):
            await source.open(None)
        await source.close()

    async def test_a_file_that_is_no_database_is_a_matter_of_configuration(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "text.db").write_text("this is no database " * 100)
        url = f"sqlite:///{tmp_path}/text.db"
        with pytest.raises(ConfigurationError, match="not a database"):
            await connector.check(System("acme", "erp", url, url, None, (TableUse("t"),)))


WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
for number in range(int(sys.argv[2])):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (?, 'new')", (number,))
    if number % 3 == 0:
        db.execute("UPDATE t SET a = ? WHERE id = ?", (number, number // 2))
    if number % 5 == 0:
        db.execute("DELETE FROM t WHERE id = ?", (number // 3,))
    db.execute("ROLLBACK" if number % 7 == 0 else "COMMIT")
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
async def test_everything_that_other_processes_commit_meanwhile_is_told(
    legacy: Legacy, mode: str
) -> None:
    """In rollback-journal mode readers and writers shut each other out; it must still work."""
    legacy.run(f"PRAGMA journal_mode = {mode}", TABLE)
    source = await opened(legacy.system("t", purge_after_ms=0, purge_batch_rows=20))
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(legacy.path), "300", stderr=subprocess.PIPE
    )
    ending = asyncio.create_task(program.communicate())
    rebuilt = Rebuilt()
    while True:
        ended = ending.done()
        batch = await source.read(50, 0.5)
        rebuilt.take(batch.changes)
        await source.ack(batch.checkpoint)
        if ended and not batch.changes:
            break
    await source.close()
    assert (await ending)[1] == b""
    assert sorted(rebuilt.rows.values()) == legacy.rows("SELECT * FROM t ORDER BY id")


async def test_a_command_s_changes_carry_its_id_and_later_ones_do_not(legacy: Legacy) -> None:
    legacy.run(TABLE)
    source = await opened(legacy.system("t"))
    legacy.run(
        "BEGIN",
        "INSERT OR REPLACE INTO bridge_command VALUES (1, 'bot:1')",
        "INSERT INTO t VALUES (1, 1)",
        "DELETE FROM bridge_command",
        "COMMIT",
        "INSERT INTO t VALUES (2, 1)",
    )
    causes = [(change.op, change.causation) for change in (await source.read(10, 0)).changes]
    await source.close()
    assert causes == [(CREATE, "bot:1"), (CREATE, None)]
