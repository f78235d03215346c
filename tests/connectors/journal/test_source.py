from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from bridge.connector import CREATE
from connectors.journal import connector
from connectors.journal.dialects.choose import dialect_for
from connectors.sql.engine import make_engine
from connectors.sql.sqlite.connection import BEGIN_OPTION

from .conftest import Legacy
from .opened import TABLE, opened
from .replay import Rebuilt


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
