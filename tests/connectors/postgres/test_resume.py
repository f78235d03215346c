"""Resuming: what was told once is never told again, and nothing is left out."""

from __future__ import annotations

import asyncio
import random
import resource
import threading

import psycopg
import pytest

from bridge.connector import Change
from bridge.model.errors import RetryLater
from connectors.postgres.capture.slot import load
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    changes_of,
    collect,
    decoded_change,
    open_source,
    read_on,
    read_to,
    row,
)
from tests.waiting import WAIT_TIMEOUT_S


def places(changes: list[Change]) -> list[tuple[int, int]]:
    return [(change.transaction.commit, change.index) for change in changes]


async def everything(erp: PostgresErp, begin: bytes, limit: int = 1000) -> list[Change]:
    async with open_source(erp.system("t"), begin) as (source, _):
        return changes_of(await read_to(source, "all", limit))


async def mixed(erp: PostgresErp) -> None:
    """Transactions of one and of many changes, with truncates, markers and a new column."""
    erp.run(
        "INSERT INTO t SELECT i, i FROM generate_series(1, 7) i",
        "UPDATE t SET n = 0 WHERE id = 3",
        "BEGIN", "DELETE FROM t WHERE id < 3", "UPDATE t SET id = 100 WHERE id = 4",
        "SELECT pg_logical_emit_message(true, 'bridge.command', 'agent:x')",
        "INSERT INTO t VALUES (8, 8), (9, 9)", "COMMIT",
        "BEGIN", "INSERT INTO t VALUES (10, 1)", "TRUNCATE t", "INSERT INTO t VALUES (10, 2)", "COMMIT",
        "ALTER TABLE t ADD s text",
        "INSERT INTO t SELECT i, i, 'x' FROM generate_series(20, 26) i",
    )  # fmt: skip


async def test_resuming_at_any_batch_border_has_no_gap_and_no_repeat(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (_, begin):
        pass
    await mixed(erp)
    whole = await everything(erp, begin)
    assert len(whole) == 7 + 1 + 5 + 2 + 7
    for size in (1, 2, 3, 5):
        changes: list[Change] = []
        truncates = 0
        checkpoint = begin
        while len(changes) < len(whole):
            async with open_source(erp.system("t"), checkpoint) as (source, again):
                assert again == checkpoint
                batch = await source.read(size, WAIT_TIMEOUT_S)
                assert batch.changes or batch.truncates
                changes += batch.changes
                truncates += len(batch.truncates)
                checkpoint = batch.checkpoint
        assert places(changes) == places(whole)
        assert [decoded_change(change) for change in changes] == [
            decoded_change(change) for change in whole
        ]
        assert [change.causation for change in changes] == [change.causation for change in whole]
        assert truncates == 1


async def test_a_checkpoint_inside_a_transaction_is_acknowledged_only_up_to_its_begin(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t SELECT i, i FROM generate_series(1, 10) i")
        batch, count = await source.read(4, WAIT_TIMEOUT_S), 0
        while (count := count + len(batch.changes)) < 4:  # The server may send them in parts.
            batch = await source.read(4 - count, WAIT_TIMEOUT_S)
        assert load(batch.checkpoint).steps == 4
        await source.ack(batch.checkpoint)
        await source.read(0, 0.1)
    async with open_source(erp.system("t"), batch.checkpoint) as (source, _):
        rest = await collect(source, 6)
    assert [row(change.shape, change.new) for change in rest] == [
        {"id": i, "n": i} for i in range(5, 11)
    ]
    assert [change.index for change in rest] == list(range(4, 10))


async def test_ended_walsenders_while_a_load_runs_lose_and_repeat_nothing(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (_, begin):
        pass
    chance = random.Random(7)  # noqa: S311 - a repeatable load, no secret
    count, endings = 3000, 8
    ended = [threading.Event() for _ in range(endings)]

    def load_it() -> None:
        """Every ending falls within the load: a ninth of the rows waits for each of them."""
        with psycopg.connect(erp.url, autocommit=True) as db:
            at = 0
            while at < count:
                for nth in range(at * (endings + 1) // count):
                    assert ended[nth].wait(WAIT_TIMEOUT_S)
                size = min(chance.choice([1, 1, 2, 50]), count - at)
                db.execute(
                    "INSERT INTO t SELECT i, i FROM generate_series(%s::int, %s::int) i",
                    [at + 1, at + size],
                )
                at += size

    thread = threading.Thread(target=load_it)
    thread.start()
    changes: list[Change] = []
    checkpoint = begin
    ends = 0
    while len(changes) < count:
        try:
            async with open_source(erp.system("t"), checkpoint) as (source, _):
                if ends < endings:
                    erp.run(
                        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                        f" WHERE slot_name = '{erp.slot}' AND active"
                    )
                    ended[ends].set()
                    ends += 1
                while len(changes) < count:
                    batch = await source.read(chance.randint(1, 200), 5.0)
                    changes += batch.changes
                    checkpoint = batch.checkpoint
                    await source.ack(checkpoint)
        except RetryLater:
            continue
    thread.join()
    assert ends == endings
    assert [row(change.shape, change.new) for change in changes] == [
        {"id": i, "n": i} for i in range(1, count + 1)
    ]


async def test_a_restart_of_the_server_is_retry_later_and_then_goes_on(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, 1)")
        [batch, *_] = await read_to(source, "one")
        await source.ack(batch.checkpoint)
        erp.db.close()
        await asyncio.to_thread(erp.server.restart, "immediate")
        with pytest.raises(RetryLater):
            await read_on(source, 1.0)
    erp.server.execute("INSERT INTO t VALUES (2, 2)", url=erp.url)
    async with open_source(erp.system("t"), batch.checkpoint) as (source, _):
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 2, "n": 2}


async def test_a_table_of_text_only_types_restarts_the_stream_in_text_once(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TYPE pair AS (a int, b text)", "CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run(
            "INSERT INTO t VALUES (1, 1)",
            "BEGIN",
            "INSERT INTO t VALUES (2, 2)",
            "ALTER TABLE t ADD p pair",
            "INSERT INTO t VALUES (3, 3, ROW(7, 'x y'))",
            "INSERT INTO t VALUES (4, 4, NULL)",
            "COMMIT",
            "INSERT INTO t VALUES (5, 5, ROW(8, NULL))",
        )
        changes = await collect(source, 5)
    assert [row(change.shape, change.new) for change in changes] == [
        {"id": 1, "n": 1},
        {"id": 2, "n": 2},
        {"id": 3, "n": 3, "p": '(7,"x y")'},
        {"id": 4, "n": 4, "p": None},
        {"id": 5, "n": 5, "p": "(8,)"},
    ]
    assert [change.index for change in changes] == [0, 0, 1, 2, 0]


async def test_a_table_dropped_before_its_changes_are_read_is_still_told(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE t (id int PRIMARY KEY, m mood)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (_, begin):
        pass
    erp.run(
        "INSERT INTO t VALUES (1, 'sad')", "DROP TABLE t", "DROP TYPE mood",
        "CREATE TABLE t (id int PRIMARY KEY, m text)", "ALTER PUBLICATION bridge ADD TABLE t",
        "INSERT INTO t VALUES (2, 'ok')",
    )  # fmt: skip
    async with open_source(erp.system("t"), begin) as (source, _):
        changes = await collect(source, 2)
    assert [row(change.shape, change.new) for change in changes] == [
        {"id": 1, "m": "sad"}, {"id": 2, "m": "ok"}
    ]  # fmt: skip
    assert [change.shape.columns[0].key for change in changes] == [True, True]


@pytest.mark.slow
async def test_a_large_transaction_is_read_in_bounded_memory(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 300000) i")
        await collect(source, 20_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seen = 20_000
        while seen < 300_000:
            batch = await source.read(5000, 10.0)
            assert len(batch.changes) <= 5000
            seen += len(batch.changes)
            await source.ack(batch.checkpoint)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # 60 MB of rows went through.
    assert grown < 20_000, f"{grown} kB more"


async def test_wide_rows_end_a_batch_before_its_limit(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t SELECT i, repeat('x', 1000000) FROM generate_series(1, 30) i")
        seen: list[int] = []
        while sum(seen) < 30:
            batch = await source.read(1000, 10.0)
            seen.append(len(batch.changes))
    assert max(seen) <= 10
