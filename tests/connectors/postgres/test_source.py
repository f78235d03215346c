from __future__ import annotations

import asyncio
import gc
from decimal import Decimal

import psycopg
import pytest

from bridge.connector import CREATE, DELETE, UPDATE, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.plan.steps import MISSING
from connectors.postgres.capture.slot import load
from connectors.postgres.transport.copy_connection import CopyConnection
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


async def test_replica_identity_full_gives_whole_old_rows(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)", "ALTER TABLE t REPLICA IDENTITY FULL")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, 1)", "UPDATE t SET n = 2", "DELETE FROM t")
        created, updated, deleted = await collect(source, 3)
    assert created.shape.before == "full"
    assert [column.key for column in created.shape.columns] == [True, False]
    assert updated.old_full
    assert decoded_change(updated) == (UPDATE, {"id": 1, "n": 1}, {"id": 1, "n": 2})
    assert deleted.old_full
    assert decoded_change(deleted) == (DELETE, {"id": 1, "n": 2}, None)


async def test_a_replica_identity_index_tells_its_columns(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE)",
        "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key",
    )
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, 'a')", "DELETE FROM t")
        created, deleted = await collect(source, 2)
    assert [column.key for column in created.shape.columns] == [True, False]
    assert decoded_change(deleted) == (DELETE, {"id": None, "code": "a"}, None)


async def test_a_replica_identity_that_lacks_the_key_is_a_trouble_until_it_is_mended(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1, 'a')")
        assert [batch.troubles for batch in await read_to(source, "whole")][-1] == {}
        erp.run(
            "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key",
            "DELETE FROM t",
        )
        [*_, last] = await read_to(source, "weak")
        assert "'id' is not part of its replica identity" in last.troubles["t"]
        assert 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL' in last.troubles["t"]
        erp.run("ALTER TABLE t REPLICA IDENTITY DEFAULT", "INSERT INTO t VALUES (2, 'b')")
        [*_, last] = await read_to(source, "fixed")
        assert last.troubles == {}
    async with open_source(erp.system(TableUse("t", ("code",)))) as (source, _):
        erp.run("INSERT INTO t VALUES (3, 'c')")
        [*_, last] = await read_to(source, "declared")
        assert "'code' is not part" in last.troubles["t"]


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


async def test_columns_added_retyped_and_dropped_in_mid_stream_give_new_shapes(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run(
            "INSERT INTO t VALUES (1, 1)",
            "ALTER TABLE t ADD s varchar(5)",
            "INSERT INTO t VALUES (2, 2, 'x')",
            "ALTER TABLE t ALTER n TYPE numeric(9,3)",
            "INSERT INTO t VALUES (3, 3.5, 'y')",
            "ALTER TABLE t DROP s",
            "INSERT INTO t VALUES (4, 4)",
        )
        changes = await collect(source, 4)
    shapes = [change.shape for change in changes]
    assert len({id(shape) for shape in shapes}) == 4
    assert [[f"{c.name} {c.native}" for c in shape.columns] for shape in shapes] == [
        ["id integer", "n integer"],
        ["id integer", "n integer", "s character varying(5)"],
        ["id integer", "n numeric(9,3)", "s character varying(5)"],
        ["id integer", "n numeric(9,3)"],
    ]
    assert [str(shape.columns[1].type) for shape in shapes] == [
        "integer",
        "integer",
        *["decimal(9,3)"] * 2,
    ]
    assert [row(change.shape, change.new) for change in changes] == [
        {"id": 1, "n": 1},
        {"id": 2, "n": 2, "s": "x"},
        {"id": 3, "n": Decimal("3.500"), "s": "y"},
        {"id": 4, "n": Decimal("4.000")},
    ]


async def test_a_relation_sent_again_keeps_its_shape(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run(
            "INSERT INTO t VALUES (1)", "GRANT SELECT ON t TO PUBLIC", "INSERT INTO t VALUES (2)"
        )
        first, second = await collect(source, 2)
    assert first.shape is second.shape


async def test_partitions_are_told_under_their_root(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE sale (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        # Another order of columns inside: rows are told in the root's.
        "CREATE TABLE sale_b (at date NOT NULL, id int NOT NULL)",
        "ALTER TABLE sale ATTACH PARTITION sale_b FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
    )
    erp.publish("sale")
    async with open_source(erp.system("sale")) as (source, _):
        erp.run(
            "INSERT INTO sale VALUES (1, '2020-05-01')",
            "INSERT INTO sale VALUES (2, '2021-05-01')",
            "UPDATE sale SET at = '2021-06-01' WHERE id = 1",
        )
        changes = await collect(source, 4)
    assert {change.shape.table for change in changes} == {"sale"}
    rows = [decoded_change(change) for change in changes]
    assert [op for op, _, _ in rows] == [CREATE, CREATE, DELETE, CREATE]
    assert rows[2][1] is not None
    assert rows[2][1]["id"] == 1
    assert [new["id"] for _, _, new in rows if new] == [1, 2, 1]


async def test_a_partition_that_is_truncated_is_not_told(erp: PostgresErp) -> None:
    """PostgreSQL's own rule; should it change, check and the docs say too much."""
    erp.run(
        "CREATE TABLE sale (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)",
    )
    erp.publish("sale")
    async with open_source(erp.system("sale")) as (source, _):
        erp.run("INSERT INTO sale VALUES (1)", "TRUNCATE sale_a", "INSERT INTO sale VALUES (2)")
        batches = await read_to(source, "here")
        erp.run("TRUNCATE sale")
        batches += await read_to(source, "there")
    assert len(changes_of(batches)) == 2
    assert [cut.tables for batch in batches for cut in batch.truncates] == [("sale",)]


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


async def test_an_idle_publication_moves_its_slot_on(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE busy (id int)")
    erp.publish("t")
    async with open_source(erp.system("t", heartbeat=0.1)) as (source, begin):
        start = erp.confirmed()
        erp.run("INSERT INTO busy SELECT generate_series(1, 1000)")
        [[end]] = erp.rows("SELECT pg_current_wal_insert_lsn()::text")
        async with asyncio.timeout(60):
            while True:
                batch = await source.read(10, 0.2)
                assert not batch.changes
                if erp.rows("SELECT %s::pg_lsn < %s::pg_lsn", end, _text(batch.checkpoint))[0][0]:
                    break
        await source.ack(batch.checkpoint)
        async with asyncio.timeout(60):
            while erp.confirmed() == start:
                await source.read(10, 0.1)
    assert batch.commit >= load(begin).lsn


def _text(checkpoint: bytes) -> str:
    lsn = load(checkpoint).lsn
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


async def test_only_what_was_acknowledged_is_confirmed(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES (1)")
        first = await read_to(source, "one")
        erp.run("INSERT INTO t VALUES (2)")
        await read_to(source, "two")
        await source.ack(first[-1].checkpoint)
        end = _text(first[-1].checkpoint)
    await erp.idle()
    assert erp.rows("SELECT %s::pg_lsn < %s::pg_lsn", erp.confirmed(), end) == [(True,)]
    async with open_source(erp.system("t"), first[-1].checkpoint) as (source, _):
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 2}


async def test_a_position_beyond_what_was_received_is_never_confirmed(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, begin):
        erp.run("INSERT INTO t VALUES (1)")
        batch = (await read_to(source, "one"))[-1]
        far = load(begin)
        await source.ack(type(far)(far.lsn + (1 << 40), 0, far.system).dump())
    assert erp.rows("SELECT %s::pg_lsn <= pg_current_wal_lsn()", erp.confirmed()) == [(True,)]
    async with open_source(erp.system("t"), batch.checkpoint) as (source, _):
        erp.run("INSERT INTO t VALUES (2)")
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 2}


async def test_an_ended_walsender_is_retry_later_and_closing_then_never_raises(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        erp.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        with pytest.raises(RetryLater, match="stream"):
            await read_on(source, 5.0)


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


async def test_closing_in_mid_read_ends_the_walsender(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        reading = asyncio.create_task(source.read(10, 60.0))
        await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    async with open_source(erp.system("t")) as (source, _):
        assert not (await source.read(10, 0.0)).changes


async def test_a_source_that_is_not_read_for_long_is_not_ended_by_the_server(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text)")
    erp.publish("t")
    impatient = f"{erp.url}?options=-c%20wal_sender_timeout%3D3s"
    async with open_source(erp.system("t", url=impatient)) as (source, _):
        # More than the socket holds, so that the server waits for us in the middle of it.
        erp.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i")
        await collect(source, 10)
        await asyncio.sleep(7)
        assert len(await collect(source, 29_990)) == 29_990


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


async def test_a_connection_that_is_given_up_while_it_is_made_is_closed(
    erp: PostgresErp,
) -> None:
    """At whatever moment; else the server keeps it until somebody collects it."""
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    system = erp.system("t")
    for number in range(40):
        opening = asyncio.create_task(CopyConnection.open(system, "given up"))
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.wait([opening], timeout=number / 1000)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled() and opening.exception() is None:
            await opening.result().close()
    gc.collect()
