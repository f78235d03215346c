"""Keys of any type, in any place of a table, are paged through once and tell rows apart."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connector import Ask, TableUse
from bridge.model.errors import ConfigurationError
from connectors.postgres.capture.snapshot import PostgresSnapshot
from connectors.postgres.catalog.tables import Catalog
from connectors.postgres.catalog.types import decode
from connectors.postgres.connector import connector
from connectors.postgres.transport.copy_connection import connect
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source
from tests.connectors.postgres.test_snapshot import chunks, rows

#: Types of which values are sent as text, and an expression of `i` that sorts otherwise as text.
AS_TEXT = {
    "xid8": "i::text::xid8",
    "ltree": "(CASE WHEN i % 2 = 0 THEN 'a' ELSE 'a.b' END || i)::ltree",
    "cube": "cube(i)",
    "seg": "(i || ' .. ' || i + 1)::seg",
    "pair": "ROW(i, 'x')::pair",
    "numbered": "i::text::xid8::numbered",
    "xid8[]": "ARRAY[i::text::xid8]",
}


@pytest.mark.parametrize("kind", AS_TEXT)
async def test_keys_that_are_sent_as_text_are_ordered_as_they_are_compared(
    erp: PostgresErp, kind: str
) -> None:
    if kind in {"ltree", "cube", "seg"}:
        erp.run(f"CREATE EXTENSION {kind}")
    erp.run(
        "CREATE TYPE pair AS (n int, s text)",
        "CREATE DOMAIN numbered AS xid8",
        f"CREATE TABLE t (k {kind} PRIMARY KEY, n int)",
        f"INSERT INTO t SELECT {AS_TEXT[kind]}, i FROM generate_series(1, 130) i",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))
    for limit in (1, 10, 30):
        numbers = [each["n"] for each in rows(await chunks(taken, "t", limit)) if each]
        assert numbers == [n for (n,) in erp.rows("SELECT n FROM t ORDER BY k")]
    await taken.close()


async def test_every_type_that_can_be_a_key_is_paged_in_its_own_order(erp: PostgresErp) -> None:
    """Whatever the catalogue has an order for: none is left to luck when another is added."""
    erp.run(*(f"CREATE EXTENSION {name}" for name in ("ltree", "cube", "seg", "isn", "citext")))
    sorted_types = erp.rows(
        "SELECT DISTINCT t.oid, t.oid::regtype::text FROM pg_type t JOIN pg_opclass c"
        " ON c.opcintype = t.oid AND c.opcdefault JOIN pg_am a ON a.oid = c.opcmethod"
        " AND a.amname = 'btree' WHERE t.typtype IN ('b', 'e', 'r') AND t.typname !~ '^any'"
    )
    connection = await connect(erp.system("t"), "test")
    catalog = Catalog(connection)
    await catalog.learn({oid for oid, _ in sorted_types})
    as_text = [name for oid, name in sorted_types if not catalog.decoded(oid, -1).binary]
    await connection.close()
    assert {"xid8", "ltree", "cube", "seg"} <= set(as_text)
    for number, name in enumerate(as_text):
        # Texts of which at least some are values of the type.
        erp.run(
            f"CREATE TABLE t{number} (k {name} PRIMARY KEY, n int)",
            f"DO $$ BEGIN FOR i IN 1..40 LOOP BEGIN INSERT INTO t{number} VALUES (i::text, i);"
            " EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$",
        )
    tables = [f"t{number}" for number in range(len(as_text))]
    taken = await PostgresSnapshot.open(erp.system(*tables))
    for table in tables:
        numbers = [each["n"] for each in rows(await chunks(taken, table, 7)) if each]
        assert numbers == [n for (n,) in erp.rows(f"SELECT n FROM {table} ORDER BY k")], table
    await taken.close()


async def test_chunks_follow_the_index_of_the_key_and_not_the_table(erp: PostgresErp) -> None:
    """A sort of the whole table for each chunk is quadratic."""
    erp.run(
        "CREATE TABLE t (a int, b int, c text, PRIMARY KEY (b, a) INCLUDE (c))",
        "INSERT INTO t SELECT i % 7, i, 'x' FROM generate_series(1, 20000) i",
        "ANALYZE t",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))
    first = await taken.chunk("t", None, None, 1000)
    assert [name for name, _ in first.last or []] == ["b", "a"]
    statements: list[str] = []
    ask = taken._copy

    async def listen(statement: str, columns: int) -> Any:
        statements.append(statement)
        return await ask(statement, columns)

    taken._copy = listen  # type: ignore[method-assign]
    second = await taken.chunk("t", None, first.last, 1000)
    await taken.close()
    assert [each["b"] for each in rows([second]) if each] == list(range(1001, 2001))
    select = statements[0].removeprefix("COPY (").partition(") TO STDOUT")[0]
    plan = "\n".join(line for (line,) in erp.rows(f"EXPLAIN {select}"))
    assert "Index Only Scan using t_pkey" in plan
    assert "Index Cond: (ROW(b, a) > ROW(1000," in plan
    assert "Sort" not in plan


async def test_columns_that_a_primary_key_only_includes_are_not_part_of_it(
    erp: PostgresErp,
) -> None:
    erp.run(
        "CREATE TABLE t (c text, b int, a int, PRIMARY KEY (b, a) INCLUDE (c))",
        "ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey",
    )
    erp.publish("t")
    shape = (await connector.describe(erp.system("t")))["t"]
    assert {column.name for column in shape.columns if column.key} == {"a", "b"}
    async with open_source(erp.system("t")) as (source, _):
        erp.run("INSERT INTO t VALUES ('x', 1, 2)")
        [change] = await collect(source, 1)
    assert {column.name for column in change.shape.columns if column.key} == {"a", "b"}
    reader = await connector.reader(erp.system("t"))
    read = await reader.fetch(Ask("t", ("b",), [(1,)]))
    await reader.close()
    assert {column.name for column in read.shape.columns if column.key} == {"a", "b"}


async def test_a_generated_column_in_the_primary_key_is_refused(erp: PostgresErp) -> None:
    """The stream leaves it out: rows would overwrite each other, and one delete remove them all."""
    erp.run(
        "CREATE TABLE t (a int, g int GENERATED ALWAYS AS (a / 10) STORED, n int NOT NULL UNIQUE,"
        " PRIMARY KEY (a, g))"
    )
    erp.publish("t")
    system = erp.system("t")
    fatal_findings = [finding for finding in await connector.check(system) if finding.fatal]
    assert any(
        "'g' is part of the primary key and a generated column" in finding.what
        for finding in fatal_findings
    )
    shape = (await connector.describe(system))["t"]
    assert not any(column.key for column in shape.columns)
    async with open_source(system) as (source, _):
        erp.run("INSERT INTO t VALUES (1, DEFAULT, 1)")
        [change] = await collect(source, 1)
        troubles = (await source.read(1, 0.0)).troubles
        assert "a generated column is part of its primary key" in troubles["t"]
    assert not any(column.key for column in change.shape.columns)
    taken = await PostgresSnapshot.open(system)
    with pytest.raises(ConfigurationError, match="declare `key`"):
        await taken.chunk("t", None, None, 10)
    await taken.close()
    taken = await PostgresSnapshot.open(erp.system(TableUse("t", ("n",))))
    assert len(rows(await chunks(taken, "t", 10))) == 1
    await taken.close()


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_keys_that_hold_nulls_are_all_read(erp: PostgresErp, limit: int) -> None:
    erp.run(
        "CREATE TABLE t (a int, b int, n int, UNIQUE (a, b))",
        "INSERT INTO t SELECT a, b, row_number() OVER () FROM unnest('{1,2,3,NULL}'::int[]) a,"
        " unnest('{1,2,NULL,NULL}'::int[]) b, generate_series(1, 1) g",
    )
    taken = await PostgresSnapshot.open(erp.system(TableUse("t", ("a", "b"))))
    numbers = [each["n"] for each in rows(await chunks(taken, "t", limit)) if each]
    await taken.close()
    assert sorted(numbers) == list(range(1, 17))


async def test_a_snapshot_that_an_earlier_release_began_goes_on(erp: PostgresErp) -> None:
    """It took the key's columns in the table's order, and wrote their texts without names."""
    erp.run(
        "CREATE TABLE t (a int, b int, PRIMARY KEY (b, a))",
        "INSERT INTO t SELECT i % 3, i FROM generate_series(1, 9) i",
    )
    taken = await PostgresSnapshot.open(erp.system("t"))
    chunk = await taken.chunk("t", None, ["1", "4"], 100)
    assert rows([chunk]) == [
        {"a": 1, "b": 7}, {"a": 2, "b": 2}, {"a": 2, "b": 5}, {"a": 2, "b": 8}
    ]  # fmt: skip
    erp.run("ALTER TABLE t DROP CONSTRAINT t_pkey", "ALTER TABLE t ADD PRIMARY KEY (b)")
    again = await taken.chunk("t", None, [["b", "3"], ["a", "0"]], 100)
    assert len(again.rows) == 9, "another key: it begins again"
    await taken.close()


def test_a_type_that_nobody_knows_is_sent_as_text() -> None:
    assert not decode(4711, -1, {}).binary
