"""What acknowledging deletes of the journal: never what is not its own, and never in anybody's way."""

from __future__ import annotations

import asyncio
import sqlite3
import time

import pytest

from bridge.model.errors import HistoryLost, RetryLater
from connectors.journal import connector
from connectors.journal.dialects.choose import dialect_for
from connectors.journal.purge import next_row_count
from connectors.journal.source import MAX_PURGE_S, JournalSource
from connectors.sql.engine import make_engine

from .conftest import Legacy
from .opened import TABLE, opened


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


async def test_a_source_whose_closing_is_cancelled_leaves_no_connection_open(
    legacy: Legacy,
) -> None:
    """While its last clean-up waits for the legacy program's lock."""
    legacy.run(TABLE)
    source = await opened(legacy.system("t", purge_after_ms=60_000))
    for number in range(2):  # The second clean-up is put off.
        legacy.run(f"INSERT INTO t VALUES ({number}, 1)")
        batch = await source.read(10, 0)
        await source.ack(batch.checkpoint)
    legacy.run("BEGIN IMMEDIATE")
    closing = asyncio.create_task(source.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    # What was left open fails the test at its end, too.
    with pytest.raises(RuntimeError, match="shutdown"):
        await source.read(10, 0)
    legacy.run("COMMIT")
