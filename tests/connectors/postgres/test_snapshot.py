from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from bridge.connector import Chunk, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.postgres.capture import snapshot as module
from connectors.postgres.capture.snapshot import PostgresSnapshot
from connectors.postgres.protocol.copy_rows import SIGNATURE, TRAILER, rows_of, values_of
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source, row


async def chunks(
    taken: PostgresSnapshot, table: str, limit: int, where: dict[str, Any] | None = None
) -> list[Chunk]:
    read_chunks: list[Chunk] = []
    after = None
    while True:
        read_chunks.append(await taken.chunk(table, where, after, limit))
        after = read_chunks[-1].last
        if after is None:
            return read_chunks


def rows(read_chunks: list[Chunk]) -> list[dict[str, Any] | None]:
    return [row(chunk.shape, raw) for chunk in read_chunks for raw in chunk.rows]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_chunks_give_each_row_once_in_key_order(erp: PostgresErp, limit: int) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, s text)")
    erp.run("INSERT INTO t SELECT i, 'n' || i FROM generate_series(-3, 10) i")
    taken = await PostgresSnapshot.open(erp.system("t"))
    read_chunks = await chunks(taken, "t", limit)
    await taken.close()
    assert rows(read_chunks) == [{"id": i, "s": f"n{i}"} for i in range(-3, 11)]
    assert len({id(chunk.shape) for chunk in read_chunks}) == 1


async def test_composite_keys_of_awkward_types_page_exactly(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TYPE mood AS ENUM ('zzz', 'aaa')",
        "CREATE DOMAIN code AS varchar(10)",
        "CREATE TABLE t (m mood, c code, at timestamptz, f float8, x bytea, q uuid, n numeric(9,3),"
        " b char(4), PRIMARY KEY (m, c, at, f, x, q, n, b))",
        "INSERT INTO t SELECT m, c, at, f, x, gen_random_uuid(), n, b"
        " FROM unnest('{zzz,aaa}'::mood[]) m, unnest(ARRAY['a''b', 'a\\b', E'q\\n', '']) c,"
        " unnest('{infinity,2020-01-01 00:00:00.123456+02}'::timestamptz[]) at,"
        " unnest('{0.1,-Infinity,NaN}'::float8[]) f, unnest('{\"\\\\x00ff\",\"\\\\x\"}'::bytea[]) x,"
        " unnest('{1.5,2}'::numeric[]) n, unnest('{x,xy}'::text[]) b",
    )
    [[count]] = erp.rows("SELECT count(*) FROM t")
    taken = await PostgresSnapshot.open(erp.system("t"))
    read_chunks = await chunks(taken, "t", 7)
    await taken.close()
    raw = [raw for chunk in read_chunks for raw in chunk.rows]
    assert len(raw) == len(set(raw)) == count == 384


async def test_a_condition_chooses_rows_by_source_values(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE t (id int PRIMARY KEY, s text, ok bool)",
        "INSERT INTO t VALUES (1, 'a', true), (2, 'it''s', false), (3, NULL, true), (4, 'a\\', NULL)",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))

    async def ids(where: dict[str, Any]) -> list[int]:
        return [row["id"] for row in rows(await chunks(taken, "t", 1, where)) if row]

    assert await ids({"s": "it's"}) == [2]
    assert await ids({"s": ["a", None]}) == [1, 3]
    assert await ids({"s": "a\\"}) == [4]
    assert await ids({"ok": True, "id": [1, 2]}) == [1]
    assert await ids({"id": []}) == []
    assert await ids({"s": "x' OR '1'='1"}) == []
    with pytest.raises(ConfigurationError, match="'t'"):
        await ids({"id": "no number"})
    assert await ids({"id": 1}) == [1]
    await taken.close()


async def test_a_chunk_tells_which_transactions_it_contains(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.publish("t")
    async with open_source(erp.system("t")) as (source, _):
        taken = await PostgresSnapshot.open(erp.system("t"))
        with psycopg.connect(erp.url) as other:
            other.execute("INSERT INTO t VALUES (1)")
            erp.run("INSERT INTO t VALUES (2)")
            before = await taken.chunk("t", None, None, 10)
            other.commit()
        after = await taken.chunk("t", None, None, 10)
        two, first_change = await collect(source, 2)
        await taken.close()
    assert rows([before]) == [{"id": 2}]
    assert rows([after]) == [{"id": 1}, {"id": 2}]
    assert before.visibility is not None
    assert after.visibility is not None
    assert before.visibility.contains(two.transaction.visibility)
    assert not before.visibility.contains(first_change.transaction.visibility)
    assert after.visibility.contains(first_change.transaction.visibility)


async def test_a_changed_shape_shows_in_the_next_chunk(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 4)")
    taken = await PostgresSnapshot.open(erp.system("t"))
    first = await taken.chunk("t", None, None, 2)
    erp.run("ALTER TABLE t ADD s text DEFAULT 'x'")
    second = await taken.chunk("t", None, first.last, 2)
    await taken.close()
    assert second.shape is not first.shape
    assert rows([second]) == [{"id": 3, "s": "x"}, {"id": 4, "s": "x"}]


async def test_a_change_of_shape_waits_for_the_chunk_that_is_read(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 9)")
    taken = await PostgresSnapshot.open(erp.system("t"))
    stop = threading.Event()

    def alter() -> None:
        with psycopg.connect(erp.url, autocommit=True) as db:
            while not stop.is_set():
                db.execute("ALTER TABLE t ADD s text DEFAULT 'x'")
                db.execute("ALTER TABLE t DROP s")

    thread = threading.Thread(target=alter)
    thread.start()
    try:
        for _ in range(100):
            read_rows = rows([await taken.chunk("t", None, None, 100)])
            assert len(read_rows) == 9
            assert all(row is not None and set(row) <= {"id", "s"} for row in read_rows)
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
        await taken.close()


async def test_partitions_come_with_their_root_and_inheritors_stay_out(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
        "INSERT INTO p VALUES (15), (5)",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (2)",
    )
    taken = await PostgresSnapshot.open(erp.system("p", "parent"))
    assert rows(await chunks(taken, "p", 1)) == [{"id": 5}, {"id": 15}]
    assert rows(await chunks(taken, "parent", 5)) == [{"id": 1}]
    await taken.close()


async def test_column_lists_and_row_filters_of_the_publication_hold_for_snapshots(
    erp: PostgresErp,
) -> None:
    erp.run(
        "CREATE TABLE t (id int PRIMARY KEY, s text, secret text)",
        "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')",
        "CREATE PUBLICATION bridge FOR TABLE t (id, s) WHERE (id > 1)",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))
    assert rows(await chunks(taken, "t", 5)) == [{"id": 2, "s": "b"}]
    assert await taken.count("t", None) >= 1
    await taken.close()


async def test_a_column_of_a_row_filter_may_be_renamed_between_two_chunks(
    erp: PostgresErp,
) -> None:
    """What was known of the filter fails once, which is tried again with the new one."""
    erp.run(
        "CREATE TABLE t (id int PRIMARY KEY, s int)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 9) i",
        "CREATE PUBLICATION bridge FOR TABLE t WHERE (s > 1)",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))
    first = await taken.chunk("t", None, None, 3)
    erp.run("ALTER TABLE t RENAME s TO state")
    with pytest.raises(RetryLater, match="'t'"):
        await taken.chunk("t", None, first.last, 3)
    second = await taken.chunk("t", None, first.last, 3)
    assert [each["id"] for each in rows([second]) if each] == [5, 6, 7]
    with pytest.raises(RetryLater):
        await taken.chunk("t", {"gone": 1}, first.last, 3)
    with pytest.raises(ConfigurationError):
        await taken.chunk("t", {"gone": 1}, first.last, 3)
    await taken.close()


async def test_counting_is_an_estimate_of_the_planner(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
    erp.run("INSERT INTO t SELECT i, i % 10 FROM generate_series(1, 5000) i", "ANALYZE t")
    taken = await PostgresSnapshot.open(erp.system("t"))
    assert await taken.count("t", None) == 5000
    assert 300 < await taken.count("t", {"n": 3}) < 700
    await taken.close()


async def test_wide_rows_cut_a_chunk_short_and_resume_behind_it(
    erp: PostgresErp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1 << 20)
    erp.run("CREATE TABLE t (id int PRIMARY KEY, note text)")
    erp.run("ALTER TABLE t ALTER note SET STORAGE EXTERNAL")
    erp.run("INSERT INTO t SELECT i, repeat('x', 100000) FROM generate_series(1, 200) i")
    taken = await PostgresSnapshot.open(erp.system("t"))
    read_chunks = await chunks(taken, "t", 1000)
    await taken.close()
    assert [row["id"] for row in rows(read_chunks) if row] == list(range(1, 201))
    assert len(read_chunks) > 5
    assert max(sum(map(len, chunk.rows)) for chunk in read_chunks) < 4 << 20


async def test_a_declared_key_serves_where_there_is_no_primary_key(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (code text NOT NULL UNIQUE)", "INSERT INTO t VALUES ('b'), ('a')")
    taken = await PostgresSnapshot.open(erp.system(TableUse("t", ("code",))))
    assert rows(await chunks(taken, "t", 1)) == [{"code": "a"}, {"code": "b"}]
    await taken.close()
    taken = await PostgresSnapshot.open(erp.system("t"))
    with pytest.raises(ConfigurationError, match="no primary key"):
        await taken.chunk("t", None, None, 1)
    await taken.close()


async def test_a_cancelled_chunk_leaves_a_snapshot_that_goes_on(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)")
    erp.run("INSERT INTO t SELECT generate_series(1, 100000)")
    taken = await PostgresSnapshot.open(erp.system("t"))
    for wait in (0.0, 0.001, 0.005, 0.02):
        reading = asyncio.create_task(taken.chunk("t", None, None, 100000))
        await asyncio.sleep(wait)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert rows([await taken.chunk("t", None, None, 2)]) == [{"id": 1}, {"id": 2}]
    await taken.close()


async def test_a_lost_connection_is_retry_later_and_the_next_chunk_connects_anew(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    taken = await PostgresSnapshot.open(erp.system("t"))
    await taken.chunk("t", None, None, 1)
    erp.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'legacy-bridge acme erp snapshot' AND datname = current_database()"
    )
    with pytest.raises(RetryLater):
        await taken.chunk("t", None, None, 1)
    assert rows([await taken.chunk("t", None, None, 1)]) == [{"id": 1}]
    await taken.close()
    await taken.close()


HEADER = SIGNATURE + bytes(8)
ONE_ROW = b"\x00\x02" + b"\x00\x00\x00\x01a" + b"\xff\xff\xff\xff"
TWO = b"\x00\x02" + b"\x00\x00\x00\x02\xff\xff" + b"\x00\x00\x00\x00"


@pytest.mark.parametrize(
    "frames", [[HEADER + ONE_ROW, TWO, TRAILER], [HEADER, ONE_ROW, TWO, TRAILER]]
)
def test_header_and_trailer_of_a_copy_are_no_rows(frames: list[bytes]) -> None:
    assert rows_of(frames, 2, first=True) == [ONE_ROW, TWO]
    assert rows_of([ONE_ROW, TWO], 2, first=False) == [ONE_ROW, TWO]
    assert rows_of([HEADER, TRAILER], 2, first=True) == []
    assert rows_of([], 2, first=True) == []


@pytest.mark.parametrize(
    ("frames", "columns"),
    [
        ([ONE_ROW], 2),
        ([HEADER + ONE_ROW], 3),
        ([HEADER + ONE_ROW + TWO + TRAILER], 2),
        ([HEADER + ONE_ROW[:6], ONE_ROW[6:]], 2),
    ],
)
def test_copy_data_that_is_not_one_row_a_message_is_refused(
    frames: list[bytes], columns: int
) -> None:
    with pytest.raises(ValueError, match="COPY"):
        rows_of(frames, columns, first=True)


def test_the_values_of_a_row_are_nulls_or_bytes() -> None:
    assert values_of(ONE_ROW) == [b"a", None]
    assert values_of(TWO) == [b"\xff\xff", b""]
