"""Relations along keys of several fields, over rows in memory and real databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.gateway import Gateway
from bridge.model.errors import Rejected
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import Relation
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.postgres.capture_dialect import POSTGRES
from connectors.sql.dialect import SqlDialect
from connectors.sql.read.reader import SqlReader
from connectors.sql.sqlite.dialect import SQLITE
from tests.connectors.sql.conftest import SqlDatabase

SCHEMA = """
CREATE TABLE orders (company text, no integer, customer integer, PRIMARY KEY (company, no));
CREATE TABLE lines (order_no integer, company text, pos integer, item text,
                    PRIMARY KEY (company, order_no, pos));
CREATE TABLE customers (id integer, company text, name text, PRIMARY KEY (id, company));
INSERT INTO orders VALUES ('a', 1, 7), ('b', 1, 7), ('a', 2, NULL);
INSERT INTO lines VALUES (1, 'a', 1, 'nut'), (1, 'a', 2, 'bolt'), (1, 'b', 1, 'screw'),
                         (2, 'b', 1, 'nobody''s');
INSERT INTO customers VALUES (7, 'a', 'Ada'), (7, 'b', 'Bob')
"""
SPECS = (
    EntitySpec(
        "erp",
        "order",
        "orders",
        ("company", "no"),
        relations=(
            Relation("lines", "line", by=("company", "order_no")),
            Relation("mapped", "line", by=("order_no", "company"), on=("no", "company")),
            Relation("namesakes", "customer", by="id", on=("customer",)),
            Relation("customer", "customer", from_field=("customer", "company")),
            Relation(
                "turned", "customer", from_field=("company", "customer"), on=("company", "id")
            ),
            Relation("short", "line", by="order_no"),
            Relation("half", "customer", from_field="customer"),
        ),
    ),
    EntitySpec("erp", "line", "lines", ("company", "order_no", "pos")),
    EntitySpec("erp", "customer", "customers", ("id", "company")),
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def erp_database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        path = tmp_path / "erp.db"
        db = sqlite3.connect(path, isolation_level=None)
        yield SqlDatabase("sqlite", f"sqlite:///{path}", SQLITE, db), SQLITE
        db.close()
    else:
        url = request.getfixturevalue("database")
        with psycopg.connect(url, autocommit=True) as server:
            yield SqlDatabase("postgres", url, POSTGRES, server), POSTGRES


def gateway(erp_database: tuple[SqlDatabase, SqlDialect], queries: list[int]) -> Gateway:
    database, dialect = erp_database
    database.run(*SCHEMA.split(";"))
    reader = SqlReader(database.system("orders", "lines", "customers"), dialect)
    tables = {}
    with reader._threads._engine.connect() as connection:
        for spec in SPECS:
            shape = reader._tables.shape(connection, spec.table)
            tables[spec.name] = EntityTable(spec, entity_type(spec, shape), shape)
    return Gateway("erp", reader, tables, SystemLimits(), observer=lambda _: queries.append(1))


async def test_several_fields_lead_to_the_rows_that_have_all_of_them(
    erp_database: tuple[SqlDatabase, SqlDialect],
) -> None:
    queries: list[int] = []
    door = gateway(erp_database, queries)
    try:
        keys = [("a", 1), ("a", 2), ("b", 1)]
        orders = await door.get_many("order", [{"company": c, "no": n} for c, n in keys])
        queries.clear()
        for relation in ("lines", "mapped"):
            lines = await door.related_many("order", orders, relation)
            items = [sorted(line.item for line in rows) for rows in lines]
            assert items == [["bolt", "nut"], [], ["screw"]]
        for relation in ("customer", "turned"):
            customers = await door.related_many("order", orders, relation)
            assert [row and row.name for row in customers] == ["Ada", None, "Bob"]
        assert len(queries) == 4
        namesakes = await door.related_many("order", orders, "namesakes")
        assert [sorted(row.name for row in rows) for rows in namesakes] == [
            ["Ada", "Bob"], [], ["Ada", "Bob"],
        ]  # fmt: skip
        assert (await door.related("order", orders[2], "customer")).name == "Bob"
    finally:
        await door.close()


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ("short", "relation 'short' is `by` one field, but the key has the fields company, no"),
        (
            "half",
            "'half' is `from` one field, but the key of 'customer' has the fields id, company",
        ),
    ],
)
async def test_fields_that_do_not_fit_the_key_are_refused(
    erp_database: tuple[SqlDatabase, SqlDialect], relation: str, message: str
) -> None:
    door = gateway(erp_database, [])
    try:
        order = await door.get("order", {"company": "a", "no": 1})
        with pytest.raises(Rejected, match=message):
            await door.related("order", order, relation)
    finally:
        await door.close()
