from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from bridge.connector import Ask, TableUse
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from connectors.sql.read.reader import SqlReader

from .conftest import SqlDatabase

ORDERS = "CREATE TABLE orders (no varchar(10) PRIMARY KEY, customer integer, total numeric(15,2))"
LINES = "CREATE TABLE lines (no varchar(10), pos integer, qty integer, PRIMARY KEY (no, pos))"


def filled(erp_database: SqlDatabase) -> None:
    erp_database.run(ORDERS, LINES)
    for number in range(20):
        erp_database.run(f"INSERT INTO orders VALUES ('{number:010}', {number % 3}, {number}.25)")
        for pos in range(3):
            erp_database.run(f"INSERT INTO lines VALUES ('{number:010}', {pos}, {number * pos})")


async def test_many_keys_are_one_query_and_give_what_single_ones_give(
    erp_database: SqlDatabase,
) -> None:
    filled(erp_database)
    reader = SqlReader(erp_database.system("orders", "lines"), erp_database.dialect)
    cases: list[tuple[str, list[str], list[tuple[Any, ...]]]] = [
        ("orders", ["no"], [(f"{number:010}",) for number in (3, 1, 99, 7)]),
        ("orders", ["customer"], [(0,), (2,)]),
        ("lines", ["no", "pos"], [(f"{n:010}", p) for n, p in itertools.product((1, 5), (0, 2))]),
        ("lines", ["pos", "no"], [(2, "0000000004"), (9, "0000000004")]),
        ("lines", ["no"], [("0000000002",)]),
    ]
    for table, columns, keys in cases:
        together = (await reader.fetch(Ask(table, columns, keys))).rows
        single = [
            row for key in keys for row in (await reader.fetch(Ask(table, columns, [key]))).rows
        ]
        assert sorted(together) == sorted(single)
        assert together
    await reader.close()


async def test_without_columns_all_rows_come_up_to_the_limit(erp_database: SqlDatabase) -> None:
    filled(erp_database)
    reader = SqlReader(erp_database.system("lines"), erp_database.dialect)
    assert len((await reader.fetch(Ask("lines"))).rows) == 60
    assert len((await reader.fetch(Ask("lines", limit=7))).rows) == 7
    assert len((await reader.fetch(Ask("lines", ("pos",), [(1,)], limit=5))).rows) == 5
    await reader.close()


async def test_a_key_with_a_null_equals_nothing(erp_database: SqlDatabase) -> None:
    filled(erp_database)
    erp_database.run("INSERT INTO orders VALUES ('x', NULL, NULL)")
    reader = SqlReader(erp_database.system("orders"), erp_database.dialect)
    assert (await reader.fetch(Ask("orders", ("customer",), [(None,)]))).rows == []
    assert len((await reader.fetch(Ask("orders", ("customer",), [(None,), (1,)]))).rows) == 7
    assert (await reader.fetch(Ask("orders", ("customer",), ()))).rows == []
    await reader.close()


async def test_what_was_seen_is_told_by_the_same_statement_even_when_no_row_is_found(
    erp_database: SqlDatabase,
) -> None:
    filled(erp_database)
    reader = SqlReader(
        erp_database.system("lines"), erp_database.seeing("(SELECT count(*) FROM lines)")
    )
    for columns, keys, expected in (
        (["no"], [("none",)], 0),
        (["no"], [("0000000001",)], 3),
        ([], [], 60),
    ):
        result = await reader.fetch(Ask("lines", columns, keys))
        assert len(result.rows) == expected
        assert result.visibility is not None
        assert getattr(result.visibility, "value", None) == 60
        assert all(len(row) == len(result.shape.columns) for row in result.rows)
    await reader.close()
    plain = SqlReader(erp_database.system("lines"), erp_database.dialect)
    assert (await plain.fetch(Ask("lines"))).visibility is None
    await plain.close()


async def test_the_most_keys_that_a_query_may_carry_do_fit(erp_database: SqlDatabase) -> None:
    filled(erp_database)
    reader = SqlReader(erp_database.system("lines"), erp_database.dialect)
    keys = [(f"{number:010}", 1) for number in range(reader.max_keys)]
    assert len((await reader.fetch(Ask("lines", ("no", "pos"), keys))).rows) == 20
    with pytest.raises(Rejected, match="at most"):
        await reader.fetch(Ask("lines", ("no", "pos"), [*keys, ("x", 1)]))
    await reader.close()


async def test_a_key_that_can_t_be_asked_for_is_rejected_and_the_reader_goes_on(
    erp_database: SqlDatabase,
) -> None:
    filled(erp_database)
    reader = SqlReader(erp_database.system("lines"), erp_database.dialect)
    bad = 2**70 if erp_database.name == "sqlite" else "no number"
    with pytest.raises(Rejected) as refused:
        await reader.fetch(Ask("lines", ("pos",), [(1,), (bad,)]))
    assert refused.value.code == "bad_key"
    with pytest.raises(Rejected, match="no column"):
        await reader.fetch(Ask("lines", ("nope",), [(1,)]))
    with pytest.raises(ConfigurationError, match="not configured"):
        await reader.fetch(Ask("other"))
    assert len((await reader.fetch(Ask("lines", ("pos",), [(1,)]))).rows) == 20
    await reader.close()


async def test_a_column_that_is_added_appears_in_the_next_shape(erp_database: SqlDatabase) -> None:
    filled(erp_database)
    reader = SqlReader(erp_database.system("orders"), erp_database.dialect)
    before = await reader.fetch(Ask("orders", ("no",), [("0000000001",)]))
    again = await reader.fetch(Ask("orders", ("no",), [("0000000001",)]))
    erp_database.run("ALTER TABLE orders ADD COLUMN note varchar(20) DEFAULT 'x'")
    after = await reader.fetch(Ask("orders", ("no",), [("0000000001",)]))
    await reader.close()
    assert again.shape is before.shape
    assert [column.name for column in after.shape.columns] == ["no", "customer", "total", "note"]
    assert after.rows[0] == (*before.rows[0], "x")


async def test_reads_run_side_by_side_up_to_the_connections_of_the_system(
    server: SqlDatabase,
) -> None:
    """Each waits until three are there, which reads that follow each other never see."""
    server.run(
        "CREATE TABLE slow (id integer PRIMARY KEY)",
        "INSERT INTO slow VALUES (1)",
        # A sequence is seen by everybody at once.
        "CREATE SEQUENCE arrived",
        """
        CREATE FUNCTION meet() RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM nextval('arrived');
            FOR moment IN 1..2000 LOOP
                IF (SELECT last_value FROM arrived) >= 3 THEN RETURN 'met'; END IF;
                PERFORM pg_sleep(0.01);
            END LOOP;
            RAISE EXCEPTION 'nobody else came';
        END $$
        """,
    )
    reader = SqlReader(server.system("slow", connections=3), server.seeing("meet()"))
    results = await asyncio.gather(*(reader.fetch(Ask("slow")) for _ in range(3)))
    await reader.close()
    assert [len(rows.rows) for rows in results] == [1, 1, 1]


async def test_blank_padded_keys_are_compared_as_the_column_compares(server: SqlDatabase) -> None:
    """An array of `char` would cut keys to one character, and of `text` count the blanks."""
    server.run(
        "CREATE TABLE c (id char(4) PRIMARY KEY, n numeric(6,2))",
        "INSERT INTO c VALUES ('ab', 1.50), ('abcd', 2)",
    )
    reader = SqlReader(server.system("c"), server.dialect)
    rows = (await reader.fetch(Ask("c", ("id",), [("ab",), ("abcd  ",)]))).rows
    assert sorted(row[0] for row in rows) == ["ab  ", "abcd"]
    rows = (await reader.fetch(Ask("c", ("n",), [("1.5",)]))).rows
    assert len(rows) == 1
    await reader.close()


async def test_a_server_that_is_away_means_later_and_a_wrong_password_does_not(
    server: SqlDatabase,
) -> None:
    away = server.system("t")
    gone = SqlReader(
        type(away)(
            "acme", "erp", "postgresql://u:s3cret@127.0.0.1:1/x", "shown", None, (TableUse("t"),)
        )
    )
    with pytest.raises(RetryLater) as later:
        await gone.fetch(Ask("t"))
    await gone.close()
    assert "s3cret" not in str(later.value)
    server.run(
        "CREATE ROLE denied LOGIN PASSWORD 'right'", "CREATE TABLE t (id integer PRIMARY KEY)"
    )
    url = server.url.replace(server.url.split("://")[1].split("@")[0], "denied:right")
    try:
        poor = SqlReader(type(away)("acme", "erp", url, "shown", None, (TableUse("t"),)))
        with pytest.raises(ConfigurationError, match=r"permission denied.*bridgectl check"):
            await poor.fetch(Ask("t"))
        await poor.close()
    finally:
        server.run("DROP ROLE denied")
