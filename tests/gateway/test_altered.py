"""Reads through the gateway while the table is altered: each row is of the type that it has."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.connector import Reader, System, TableUse
from bridge.gateway import Gateway
from bridge.model.errors import Rejected, RetryLater
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from connectors.postgres.connector import connector as postgresql
from connectors.postgres.options import PostgresOptions
from connectors.sql.engine import make_engine
from connectors.sql.read.reader import SqlReader
from connectors.sql.schema.tables import describe

STOCK = EntitySpec("erp", "stock", "stock", ("id",))
TABLE = "CREATE TABLE stock (id integer PRIMARY KEY, qty integer, note varchar(40))"
ROW = "INSERT INTO stock VALUES (1, 100, 'x')"
CONNECTIONS = 2


@dataclass(slots=True)
class Altered:
    """A table, the gateway over it, and the legacy program's connection."""

    name: str
    run: Callable[[str], object]
    gateway: Gateway
    table: EntityTable

    async def row(self) -> dict[str, Any]:
        row = await self.gateway.get("stock", 1)
        assert row is not None
        return dict(row)


@pytest.fixture(params=["sqlite", "postgres"])
async def erp(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Altered]:
    options = None
    if request.param == "sqlite":
        path = tmp_path / "erp.db"
        db: Any = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("database")
        db = psycopg.connect(url, autocommit=True)
        options = PostgresOptions()
    db.execute(TABLE)
    db.execute(ROW)
    uses = (TableUse("stock", ("id",)),)
    system = System("acme", "erp", url, "erp", options, uses, CONNECTIONS)
    reader: Reader
    if request.param == "sqlite":
        engine = make_engine(system)
        shape = describe(engine, uses)["stock"]
        engine.dispose()
        reader = SqlReader(system)
    else:
        db.execute("CREATE PUBLICATION bridge FOR TABLE stock")
        shape = (await postgresql.describe(system))["stock"]
        reader = await postgresql.reader(system)
    table = EntityTable(STOCK, entity_type(STOCK, shape), shape)
    limits = SystemLimits(connections=CONNECTIONS)
    gateway = Gateway("erp", reader, {"stock": table}, limits)
    yield Altered(request.param, db.execute, gateway, table)
    await gateway.close()
    db.close()


def types(table: EntityTable) -> dict[str, str]:
    return {field.name: field.type.name for field in table.entity.fields}


async def test_a_row_has_the_columns_and_types_of_its_own_read(erp: Altered) -> None:
    """One after the other, over connections that are kept."""
    assert await erp.row() == {"id": 1, "qty": 100, "note": "x"}
    erp.run("ALTER TABLE stock ADD COLUMN place varchar(9) DEFAULT 'a1'")
    assert await erp.row() == {"id": 1, "qty": 100, "note": "x", "place": "a1"}
    erp.run("ALTER TABLE stock DROP COLUMN note")
    assert await erp.row() == {"id": 1, "qty": 100, "note": None, "place": "a1"}
    erp.run("ALTER TABLE stock RENAME COLUMN qty TO amount")
    assert await erp.row() == {"id": 1, "qty": None, "note": None, "place": "a1", "amount": 100}
    assert [len(await erp.gateway.query("stock", {"amount": 100}, 5))] == [1]
    assert len({row._type.fields for row in await both_generations(erp)}) == 2
    # As migrations do where a type can't be changed in place.
    erp.run("ALTER TABLE stock RENAME TO old_stock")
    erp.run("CREATE TABLE stock (id integer PRIMARY KEY, amount text, place varchar(9))")
    erp.run("INSERT INTO stock SELECT id, amount, place FROM old_stock")
    assert (await erp.row())["amount"] == "100"
    assert types(erp.table)["amount"] == "string"


async def both_generations(erp: Altered) -> list[Any]:
    """A row that is in somebody's hand keeps the type that it was read with."""
    [before] = await erp.gateway.query("stock", {}, 5)
    erp.run("ALTER TABLE stock ADD COLUMN last_seen varchar(9)")
    [after] = await erp.gateway.query("stock", {}, 5)
    assert "last_seen" not in dict(before)
    erp.run("ALTER TABLE stock DROP COLUMN last_seen")
    return [before, after]


async def test_no_row_has_another_type_than_its_values_while_the_table_is_altered(
    erp: Altered,
) -> None:
    """Many readers, a table that is made again under other types: a read may have to be tried again,
    never is a value taken for what it isn't.
    """
    python_types = {"integer": int, "string": str}
    altering = True
    answers = {"integer": 0, "string": 0}

    async def read_on() -> None:
        while altering:
            try:
                row = await erp.gateway.get("stock", 1)
            except (RetryLater, Rejected):
                continue
            if row is not None:
                field = next(each for each in row._type.fields if each.name == "qty")
                value: Any = row["qty"]
                assert type(value) is python_types[field.type.name]
                assert str(value) == "100"
                answers[field.type.name] += 1

    readers = [asyncio.create_task(read_on()) for _ in range(4)]
    try:
        for number in range(20):
            name = ("text", "integer")[number % 2]
            await asyncio.to_thread(alter, erp, name)
            await asyncio.sleep(0)
        await erp.row()
    finally:
        altering = False
        await asyncio.gather(*readers)
    assert sum(answers.values()) > 0


def alter(erp: Altered, name: str) -> None:
    if erp.name == "postgres":
        erp.run(f"ALTER TABLE stock ALTER qty TYPE {name} USING qty::{name}")
        return
    erp.run("BEGIN IMMEDIATE")
    erp.run(f"CREATE TABLE fresh (id integer PRIMARY KEY, qty {name}, note varchar(40))")
    erp.run("INSERT INTO fresh SELECT * FROM stock")
    erp.run("DROP TABLE stock")
    erp.run("ALTER TABLE fresh RENAME TO stock")
    erp.run("COMMIT")
