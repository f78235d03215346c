"""The view as the first source of a read: a handler's whole cascade without a query."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway import Gateway
from bridge.gateway.view.system_view import SystemView
from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.receipt import Outcome, Receipt
from bridge.observe import Notice, RowsRead
from bridge.wiring import Bridge
from bridge.wiring.run_parts import build_parts
from tests.waiting import until
from tests.wiring.test_system_copies import AGENT, agents_of, opened, running

SYSTEM = """
system: a
connector: journal
url: sqlite:///a.db
entities:
  thing:
    from: orders
    key: id
    relations:
      lines: {entity: line, by: order_id}
      customer: {entity: customer, from: customer_id}
  line:
    from: lines
    key: id
    relations:
      product: {entity: product, from: product_id}
  customer: {from: customers, key: id}
  product: {from: products, key: code}
"""
TABLES = """
create table orders (id integer primary key, customer_id integer, note text);
create table lines (id integer primary key, order_id integer, product_id text, amount integer);
create table customers (id integer primary key, name text);
create table products (code text primary key, name text);
"""


def execute(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as db:
        db.executescript(script)


class Door:
    """The gateway of a running bridge, with its view; `queries`: that the legacy system has had."""

    def __init__(
        self, bridge: Bridge, gateway: Gateway, notices: list[Notice], folder: Path
    ) -> None:
        self.bridge = bridge
        self.gateway = gateway
        self.folder = folder
        self._notices = notices

    @property
    def queries(self) -> int:
        return sum(each.queries for each in self._notices if isinstance(each, RowsRead))

    @property
    def view(self) -> SystemView:
        return self.bridge.views["a"]

    async def prove(self, *entities: str) -> None:
        """Wait until the view contains everything that was committed before this call."""
        began = time.monotonic()

        async def is_proved() -> bool:
            for entity in entities:
                claim = self.view.claim(entity)
                if claim is None or claim.as_of < began:
                    await self.view.wait(entity, time.monotonic() + 1)
                    return False
            return True

        await until(is_proved)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    (tmp_path / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///log.db\nsystems: a.yaml")
    (tmp_path / "a.yaml").write_text(SYSTEM)
    (tmp_path / "reader.py").write_text(AGENT)
    execute(
        tmp_path,
        TABLES
        + "".join(f"insert into orders values ({n}, {n % 5}, 'n{n}');" for n in range(20))
        + "".join(f"insert into lines values ({n}, {n // 3}, 'p{n % 7}', 1);" for n in range(60))
        + "".join(f"insert into customers values ({n}, 'c{n}');" for n in range(5))
        + "".join(f"insert into products values ('p{n}', 'P{n}');" for n in range(7)),
    )
    notices: list[Notice] = []
    async with opened(tmp_path, notices) as bridge:
        parts = build_parts(bridge, agents_of(tmp_path), ["capture", "agents"])
        async with running(parts, notices):
            await until(lambda: "a" in bridge.views)
            await bridge.reads("a")
            door = Door(bridge, bridge._gateways["a"], notices, tmp_path)
            await door.prove("thing", "line", "customer", "product")
            yield door


async def test_a_cascade_of_reads_is_answered_without_a_query(door: Door) -> None:
    gateway, before = door.gateway, door.queries
    for number in range(20):
        order = await gateway.get("thing", number)
        customer = await gateway.related("thing", order, "customer")
        assert customer["name"] == f"c{number % 5}"
        lines = await gateway.related("thing", order, "lines")
        assert [line["id"] for line in lines] == [3 * number, 3 * number + 1, 3 * number + 2]
        products = await gateway.related_many("line", lines, "product")
        assert [row["name"] for row in products] == [f"P{line['id'] % 7}" for line in lines]
    rows = await gateway.get_many("thing", [3, 99, 5])
    assert [row and row["note"] for row in rows] == ["n3", None, "n5"]
    queried = await gateway.query("line", {"order_id": [1, 2]}, 4)
    assert [row["id"] for row in queried] == [3, 4, 5, 6]
    assert queried.truncated
    assert await gateway.get("thing", 12345) is None
    assert door.queries == before
    origin = provenance(order)
    assert (origin.source, origin.entity) == ("view", "a.thing")
    assert origin.position


async def test_a_row_equals_that_of_the_legacy_system(door: Door) -> None:
    live = ReadDemands(fresh=True)
    for entity, key in (("thing", 3), ("line", 4), ("customer", 1), ("product", "p2")):
        viewed = await door.gateway.get(entity, key)
        read = await door.gateway.get(entity, key, live)
        assert provenance(viewed).source == "view"
        assert provenance(read).source == "legacy"
        assert viewed == read


async def test_what_is_asked_for_fresh_or_by_other_fields_goes_to_the_legacy_system(
    door: Door,
) -> None:
    before = door.queries
    await door.gateway.get("thing", 3, ReadDemands(fresh=True))
    await door.gateway.query("thing", {"note": "n3"}, 5)
    assert door.queries == before + 2


async def test_absence_by_a_text_whose_equality_is_not_known_is_asked_for(door: Door) -> None:
    """In SQLite the column may compare without case."""
    before = door.queries
    assert await door.gateway.get("product", "P2") is None
    assert door.queries == before + 1


async def test_a_change_is_seen_once_it_is_asked_for_young_enough(door: Door) -> None:
    execute(door.folder, "update orders set note = 'new', customer_id = 0 where id = 4")
    row: Any = await door.gateway.get("thing", 4, ReadDemands(max_staleness=0.0))
    assert row["note"] == "new"
    await door.prove("thing")
    before = door.queries
    row = await door.gateway.get("thing", 4)
    assert (row["note"], provenance(row).source) == ("new", "view")
    assert door.queries == before


async def test_a_receipt_without_a_position_is_not_answered_by_the_view(door: Door) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    receipt = Receipt("c", Outcome.SUCCEEDED, None, None, None, None, None, at)
    before = door.queries
    await door.gateway.get("thing", 4, ReadDemands(after=receipt))
    assert door.queries == before + 1


async def test_what_a_reader_has_read_never_goes_back(door: Door) -> None:
    """A live read may show what the view isn't proved to have."""
    cause = ReadCause("agent")
    await door.gateway.get("thing", 4, ReadDemands(fresh=True, cause=cause))
    row = await door.gateway.get("thing", 4, ReadDemands(cause=cause))
    assert provenance(row).source != "view"
    assert provenance(await door.gateway.get("thing", 4)).source == "view", "others may"
    await door.prove("thing")
    row = await door.gateway.get("thing", 4, ReadDemands(cause=cause))
    assert provenance(row).source == "view"


async def test_a_row_of_a_form_that_rows_no_longer_have_is_asked_for(door: Door) -> None:
    """A column that was added since may have a default, which no event tells."""
    execute(door.folder, "alter table orders add column state text default 'open'")
    row = await door.gateway.get("thing", 3, ReadDemands(fresh=True))
    assert row is not None
    assert row["state"] == "open"
    for read in (
        door.gateway.get("thing", 6),
        door.gateway.get_many("thing", [6, 7]),
        door.gateway.related("line", await door.gateway.get("line", 18), "product"),
    ):
        answer: Any = await read
        row = answer[0] if isinstance(answer, list) else answer
        assert "state" not in row or row["state"] == "open"
