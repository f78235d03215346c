from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from bridge.connector import CREATE, DELETE, UPDATE
from bridge.model.errors import ConfigurationError
from bridge.plan.steps import MISSING
from connectors.postgres.capture.slot import load
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    changes_of,
    collect,
    decoded_change,
    open_source,
    read_to,
    row,
)


async def test_inserts_updates_and_deletes_come_in_commit_order(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE vbak (vbeln text PRIMARY KEY, netwr numeric(15,2))")
    erp.publish("vbak")
    async with open_source(erp.system("vbak")) as (source, _):
        erp.run(
            "INSERT INTO vbak VALUES ('1', 10.5)",
            "UPDATE vbak SET netwr = NULL",
            "DELETE FROM vbak",
        )
        changes = await collect(source, 3)
    assert [decoded_change(change) for change in changes] == [
        (CREATE, None, {"vbeln": "1", "netwr": Decimal("10.50")}),
        (UPDATE, None, {"vbeln": "1", "netwr": None}),
        (DELETE, {"vbeln": "1", "netwr": None}, None),
    ]
    assert [change.index for change in changes] == [0, 0, 0]
    commits = [change.transaction.commit for change in changes]
    assert commits == sorted(set(commits))
    assert all(change.shape is changes[0].shape for change in changes)
    assert changes[0].shape.table == "vbak"


async def test_a_changed_key_carries_the_old_key(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (a int, b int, c text, PRIMARY KEY (a, b))")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, 2, 'x')", "UPDATE t SET b = 3")
        _, change = await collect(source, 2)
    assert not change.old_full
    assert decoded_change(change) == (
        UPDATE, {"a": 1, "b": 2, "c": None}, {"a": 1, "b": 3, "c": "x"}
    )  # fmt: skip


async def test_a_big_column_that_did_not_change_is_missing_not_null(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text, n int)")
    erp.run("ALTER TABLE t ALTER note SET STORAGE EXTERNAL")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, repeat('x', 9000), 1)", "UPDATE t SET n = 2")
        _, change = await collect(source, 2)
    assert decoded_change(change)[2] == {"id": 1, "note": MISSING, "n": 2}


async def test_truncate_names_its_tables_between_the_changes(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    erp.publish("a", "b")
    async with open_source(erp.system("a", "b")) as (source, _):
        erp.run(
            "BEGIN", "INSERT INTO a VALUES (1)", "TRUNCATE a, b", "INSERT INTO a VALUES (2)", "COMMIT"
        )  # fmt: skip
        batches = await read_to(source, "end")
    [truncate] = [truncate for batch in batches for truncate in batch.truncates]
    first, second = changes_of(batches)
    assert set(truncate.tables) == {"a", "b"}
    assert truncate.transaction == first.transaction
    assert truncate.at == 1
    assert second.index > first.index


async def test_a_publication_that_leaves_operations_out_is_refused(erp: PostgresErp) -> None:
    """The server would leave deletes out without a word."""
    erp.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE PUBLICATION bridge FOR TABLE t WITH (publish = 'insert, update, truncate')",
    )
    words = r"leaves out some of .*deletes.* SET \(publish = .*--reconcile"
    with pytest.raises(ConfigurationError, match=words):
        async with open_source(erp.system("t")):
            pass


async def test_tables_that_are_not_configured_are_left_out_and_still_counted(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    erp.publish("a", "b")
    async with open_source(erp.system("a")) as (source, _):
        erp.run("BEGIN", "INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (1)", "COMMIT")
        [change] = await collect(source, 1)
    assert change.shape.table == "a"
    assert change.index == 1


async def test_a_command_marker_is_the_causation_of_what_follows_it(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    marker = "SELECT pg_logical_emit_message(true, 'bridge.command', 'agent:{}')"
    async with open_source(erp.system("t")) as (source, _):
        erp.run(
            "BEGIN", "INSERT INTO t VALUES (1)", marker.format("x"), "INSERT INTO t VALUES (2)",
            marker.format("y"), "INSERT INTO t VALUES (3)", "COMMIT", "INSERT INTO t VALUES (4)",
        )  # fmt: skip
        changes = await collect(source, 4)
    assert [change.causation for change in changes] == [None, "agent:x", "agent:y", None]


async def test_a_transaction_tells_its_id_and_commit_time(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        [[xid, before]] = erp.rows(
            "INSERT INTO t VALUES (1) RETURNING pg_current_xact_id()::text,"
            " (extract(epoch FROM now()) * 1000000)::int8"
        )
        [change] = await collect(source, 1)
    assert change.transaction.id == xid
    assert change.transaction.visibility == int(xid) % 2**32
    assert change.transaction.committed_at is not None
    assert 0 <= change.transaction.committed_at - before < 10_000_000


async def test_a_rolled_back_transaction_is_never_told(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run(
            "BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK",
            "BEGIN", "INSERT INTO t VALUES (2)", "SAVEPOINT s", "INSERT INTO t VALUES (3)",
            "ROLLBACK TO s", "COMMIT",
        )  # fmt: skip
        batches = await read_to(source, "end")
    assert [row(change.shape, change.new) for change in changes_of(batches)] == [{"id": 2}]


async def test_an_idle_read_returns_after_its_timeout_without_changes(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t", heartbeat=3600)) as (source, begin):
        before = asyncio.get_running_loop().time()
        batch = await source.read(10, 0.3)
        took = asyncio.get_running_loop().time() - before
    assert not batch.changes
    assert 0.25 < took < 20
    assert load(batch.checkpoint).lsn >= load(begin).lsn
