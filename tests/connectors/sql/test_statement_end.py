"""A read that is cancelled or past its deadline ends its statement in the database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bridge.connector import Ask, ColumnCondition
from bridge.model.errors import DeadlineExceeded, RetryLater, SystemBusy
from connectors.sql import threads
from connectors.sql.dialect import SqlDialect
from connectors.sql.engine import make_engine
from connectors.sql.read.reader import SqlReader
from connectors.sql.running_statement import _THREAD, RunningStatement, is_interrupted
from connectors.sql.threads import ConnectionThreads
from tests.waiting import until, wait_until

from .conftest import SqlDatabase

NEVER_S = 1000.0
"""What the statements of these tests would take."""


def endless(erp_database: SqlDatabase) -> SqlDialect:
    """The dialect with a statement that takes for ever, once it has begun."""
    if erp_database.name == "postgres":
        erp_database.run("CREATE TABLE t (id integer PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        return erp_database.seeing(f"(SELECT 1 FROM pg_sleep({NEVER_S}))")
    erp_database.run("CREATE TABLE t (id integer PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    return erp_database.seeing(
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"
    )


def is_running(erp_database: SqlDatabase, reader: SqlReader) -> bool:
    """Whether the database works on the statement."""
    if erp_database.name == "postgres":
        return bool(
            erp_database.rows(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
                " AND datname = current_database() AND query LIKE '%pg_sleep%'"
            )
        )
    return reader._threads.running > 0


async def test_a_cancelled_read_ends_its_statement(erp_database: SqlDatabase) -> None:
    """It ran to its end before, on a connection that nobody else could have."""
    reader = SqlReader(erp_database.system("t", connections=1), endless(erp_database))
    read = asyncio.create_task(reader.fetch(Ask("t")))
    await until(lambda: is_running(erp_database, reader))
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    await until(lambda: not is_running(erp_database, reader))
    reader._dialect = erp_database.dialect
    assert (await reader.fetch(Ask("t"))).rows == [(1,)]
    await reader.close()


async def test_a_statement_ends_at_the_deadline_of_its_question(erp_database: SqlDatabase) -> None:
    reader = SqlReader(erp_database.system("t", connections=1), endless(erp_database))
    with pytest.raises(
        DeadlineExceeded, match="system 'erp': reading table 't': the statement was"
    ):
        await reader.fetch(Ask("t", deadline=time.monotonic() + 0.2))
    await until(lambda: not is_running(erp_database, reader))
    reader._dialect = erp_database.dialect
    answer = await reader.fetch(Ask("t", deadline=time.monotonic() + NEVER_S))
    assert answer.rows == [(1,)]
    await reader.close()


async def test_a_read_that_waits_for_a_connection_when_its_deadline_is_over_asks_nothing(
    erp_database: SqlDatabase,
) -> None:
    reader = SqlReader(erp_database.system("t", connections=1), endless(erp_database))
    first = asyncio.create_task(reader.fetch(Ask("t")))
    await until(lambda: is_running(erp_database, reader))
    with pytest.raises(DeadlineExceeded):
        await reader.fetch(Ask("t", deadline=time.monotonic()))
    assert not first.done()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await reader.close()


async def test_closing_ends_running_statements_of_cancelled_reads(
    erp_database: SqlDatabase,
) -> None:
    reader = SqlReader(erp_database.system("t", connections=2), endless(erp_database))
    reads = [asyncio.create_task(reader.fetch(Ask("t"))) for _ in range(2)]
    await until(lambda: is_running(erp_database, reader))
    for read in reads:
        read.cancel()
    await reader.close()
    assert not is_running(erp_database, reader)


async def test_a_time_out_of_the_server_itself_says_that_it_is_busy(server: SqlDatabase) -> None:
    dialect = endless(server)
    server.run(
        f"ALTER ROLE CURRENT_USER IN DATABASE {database_name(server)} SET statement_timeout = 200"
    )
    reader = SqlReader(server.system("t"), dialect)
    with pytest.raises(SystemBusy, match="statement timeout"):
        await reader.fetch(Ask("t"))
    await reader.close()


async def test_a_lock_that_the_server_waits_for_no_longer_says_that_it_is_busy(
    server: SqlDatabase,
) -> None:
    server.run("CREATE TABLE t (id integer PRIMARY KEY)")
    server.run(
        f"ALTER ROLE CURRENT_USER IN DATABASE {database_name(server)} SET lock_timeout = 200"
    )
    reader = SqlReader(server.system("t"), server.dialect)
    assert (await reader.fetch(Ask("t"))).rows == []
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SystemBusy, match="lock timeout"):
            await reader.fetch(Ask("t"))
    await reader.close()


def database_name(server: SqlDatabase) -> str:
    ((name,),) = server.rows("SELECT current_database()")
    return f'"{name}"'


async def test_a_late_interruption_never_meets_the_next_statement(lite: SqlDatabase) -> None:
    """The connection is closed: the driver may be interrupted after the statement has ended."""
    lite.run("CREATE TABLE t (id integer PRIMARY KEY)")
    used: list[Any] = []
    pool = ConnectionThreads(make_engine(lite.system("t")), 1, "t", lambda _: None)

    def act(connection: Any) -> None:
        used.append(connection.connection.driver_connection)
        if len(used) == 1:
            begun.set()
            wait_until(is_interrupted)

    begun = threading.Event()
    first = asyncio.create_task(pool.run(act))
    await until(begun.is_set)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await pool.run(act)
    await pool.run(act)
    await pool.close()
    assert used[0] is not used[1]
    assert used[1] is used[2]


async def test_an_interruption_between_two_statements_ends_the_second(lite: SqlDatabase) -> None:
    lite.run("CREATE TABLE t (id integer PRIMARY KEY)")
    reader = SqlReader(lite.system("t"), lite.dialect)
    questions: list[Ask] = []
    query = reader._query

    def interrupted_before(connection: Any, ask: Ask, *more: Any) -> Any:
        questions.append(ask)
        _THREAD.statement.is_interrupted = True
        return query(connection, ask, *more)

    reader._query = interrupted_before  # type: ignore[method-assign, assignment]
    with pytest.raises(RetryLater, match="nobody waits for the statement any more"):
        await reader.fetch(Ask("t", where=(ColumnCondition("id", ">", (1,)),)))
    assert len(questions) == 1
    await reader.close()


async def test_a_statement_that_goes_on_is_interrupted_again(
    lite: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time may have come before it had begun."""
    monkeypatch.setattr("connectors.sql.running_statement.REPEAT_S", 0.01)
    times: list[Any] = []
    pool = ConnectionThreads(make_engine(lite.system()), 1, "t", times.append)
    begun = threading.Event()

    def act(connection: Any) -> None:
        del connection
        begun.set()
        wait_until(lambda: len(times) >= 3)

    running = asyncio.create_task(pool.run(act))
    await until(begun.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await pool.close()
    assert len(times) >= 3


async def test_a_driver_that_can_not_be_interrupted_keeps_no_caller_past_its_deadline(
    lite: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "END_GRACE_S", 0.01)
    release = threading.Event()
    pool = ConnectionThreads(make_engine(lite.system()), 1, "t")

    def act(connection: Any) -> int:
        del connection
        release.wait()
        return 7

    with pytest.raises(DeadlineExceeded):
        await pool.run(act, time.monotonic() + 0.05)
    release.set()
    assert await pool.run(lambda _: 8, time.monotonic() + NEVER_S) == 8
    await pool.close()


async def test_an_interruption_that_is_refused_by_the_server_ends_nobodys_wait(
    server: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "END_GRACE_S", 0.01)
    release = threading.Event()

    def fail(_: Any) -> None:
        release.set()

    dialect = replace(endless(server), interrupt=fail)
    reader = SqlReader(server.system("t", connections=1), dialect)
    with pytest.raises(DeadlineExceeded):
        await reader.fetch(Ask("t", deadline=time.monotonic() + 0.05))
    await until(release.is_set)
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'"
               " AND pid <> pg_backend_pid()")  # fmt: skip
    await reader.close()


def test_a_use_that_never_began_has_no_end_to_wait_for() -> None:
    calls: list[Callable[[], None]] = []
    statement = RunningStatement(calls.append)
    statement.abandon()
    statement.interrupt()
    assert calls == []
    assert statement.is_interrupted
