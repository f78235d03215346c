"""The second connection: watermarks, heartbeats, and making a slot."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from bridge.model.errors import RetryLater
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    changes_of,
    open_source,
    read_on,
    read_to,
)


async def test_a_watermark_stands_between_the_commits_around_it(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1)")
        await source.write_watermark("low")
        erp.run("INSERT INTO t VALUES (2)")
        batches = await read_to(source, "high")
    first, second = changes_of(batches)
    marks = [mark for batch in batches for mark in batch.watermarks]
    assert [mark.name for mark in marks] == ["low", "high"]
    assert first.transaction.commit < marks[0].commit < second.transaction.commit < marks[1].commit
    if len(batches) == 1:
        assert [mark.at for mark in marks] == [1, 2]


async def test_no_change_has_the_commit_position_of_a_watermark(erp: PostgresErp) -> None:
    """The rows of a chunk take theirs from the watermark, and positions stand once."""
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        # Nothing stands in the WAL between these watermarks and the commits.
        for number in range(5):
            erp.run(
                f"BEGIN; INSERT INTO t VALUES ({number}); "
                f"SELECT pg_logical_emit_message(false, 'bridge.watermark', 'w{number}'); COMMIT"
            )
        batches = await read_to(source, "end")
    marks = [mark.commit for batch in batches for mark in batch.watermarks][:5]
    commits = [change.transaction.commit for change in changes_of(batches)]
    for before, mark, after in zip([0, *commits], marks, commits, strict=False):
        assert before < mark < after


async def test_a_watermark_comes_back_while_no_synchronous_standby_answers(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    erp.server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        erp.server.execute("SELECT pg_reload_conf()")
        async with open_source(erp.system("t")) as (source, _):
            async with asyncio.timeout(60):
                await read_to(source, "alone")
    finally:
        erp.server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        erp.server.execute("SELECT pg_reload_conf()")


async def test_a_lost_side_connection_is_retry_later(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t", heartbeat=0.1)) as (source, _):
        erp.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'legacy-bridge acme erp side' AND datname = current_database()"
        )
        with pytest.raises(RetryLater, match="heartbeat"):
            await read_on(source, 1.0)


async def test_a_slot_that_waits_for_a_long_transaction_says_so(
    erp: PostgresErp, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    with psycopg.connect(erp.url) as other, monkeypatch.context() as patched:
        patched.setattr(
            "connectors.postgres.transport.control_connection._SLOT_CREATION_TIMEOUT_S", 1
        )
        other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(RetryLater, match="transactions that run now"):
            async with open_source(erp.system("t")):
                pass
        other.commit()
    async with open_source(erp.system("t")) as (source, _):
        assert not (await source.read(10, 0.1)).changes
