"""Shapes of streamed rows: columns that change, replica identities, partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

import psycopg

from bridge.connector import CREATE, DELETE, UPDATE, TableUse
from connectors.postgres.capture.relation_shapes import chosen_tables
from connectors.postgres.catalog.tables import Catalog, CatalogTable
from tests.connectors.postgres.postgres_erp import (
    PostgresErp,
    changes_of,
    collect,
    decoded_change,
    open_source,
    read_to,
    row,
)


class DroppingCatalog(Catalog):
    """A catalogue in which a table is dropped after it was listed, before its columns are read."""

    drop: Callable[[], None]

    async def candidates(self, names: Iterable[str]) -> list[CatalogTable]:
        tables = await super().candidates(names)
        self.drop()
        return tables


async def test_a_table_that_is_dropped_while_it_is_inspected_does_not_exist(
    erp: PostgresErp,
) -> None:
    """Without columns it would have no replica identity, and the advice would be an ALTER TABLE."""
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)")
    async with await psycopg.AsyncConnection.connect(erp.url, autocommit=True) as connection:
        catalog = DroppingCatalog(connection)
        catalog.drop = lambda: erp.run("DROP TABLE t")
        tables, missing = await chosen_tables(catalog, ["t", "u"])
    assert [table.configured for table in tables] == ["u"]
    [problem] = missing
    assert "table 't' does not exist" in problem


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
