"""An ERP in PostgreSQL whose orders lead to customers, lines, products and stocks; events of orders."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy.engine import make_url

from bridge.connector import Ask, Change, Column, Reader, Shape, SourceTransaction, System, TableUse
from bridge.gateway import Gateway, Gateways
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import TopicSpec
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.names import change_topic
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.system_records import TOPIC_KINDS
from bridge.model.types import FieldType, Relation
from bridge.observe import Observer
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import Wire
from connectors.postgres.connector import connector
from connectors.postgres.options import PostgresOptions
from tests.agent.sqlite_erp import MemoryRegistry

BRIDGE: Final = "bench"
EVENTS: Final = 1_000
LINES_PER_ORDER: Final = int(os.environ.get("BENCH_LINES", "3"))
PARTITIONS: Final = 2
ONE_BY_ONE: Final = EVENTS * (2 + 2 * LINES_PER_ORDER)
"""Reads of the handler over all events: customer and lines of each order, product and stocks of each
line.
"""

#: Numbers that look random and are the same in each run.
MIXED: Final = "(((g * 48271::bigint + 11) %% 2147483647) * 16807) %% {rows} + 1"
TABLES: Final = {
    "customers": ("id bigint primary key, name text, region int", "g, 'customer ' || g, g %% 50"),
    "products": (
        "id bigint primary key, name text, price int",
        "g, 'product ' || g, g %% 900 + 1",
    ),
    "stocks": (
        "id bigint primary key, product_id bigint, quantity int",
        "g, {rows} + 1 - g, g %% 70",
    ),
    "order_lines": (
        "id bigint primary key, order_id bigint, product_id bigint, quantity int",
        f"g, (g - 1) / {LINES_PER_ORDER} + 1, {MIXED}, g %% 9 + 1",
    ),
}
INDEXES: Final = ("stocks (product_id)", "order_lines (order_id)")
SPECS: Final = {
    "customer": EntitySpec("erp", "customer", "customers", key=("id",)),
    "product": EntitySpec(
        "erp",
        "product",
        "products",
        key=("id",),
        relations=(Relation("stocks", "stock", by="product_id"),),
    ),
    "stock": EntitySpec("erp", "stock", "stocks", key=("id",)),
    "line": EntitySpec(
        "erp",
        "line",
        "order_lines",
        key=("id",),
        relations=(Relation("product", "product", from_field="product_id"),),
    ),
}
ORDER: Final = EntitySpec(
    "erp",
    "order",
    "orders",
    key=("id",),
    relations=(
        Relation("customer", "customer", from_field="customer_id"),
        Relation("lines", "line", by="order_id"),
    ),
)
ORDER_SHAPE: Final = Shape(
    "orders",
    tuple(Column(name, "INT8", FieldType("integer"), "int8") for name in ("id", "customer_id")),
    Wire.PYTHON,
)


def create(url: str, rows: int) -> None:
    """The tables, with `rows` rows each."""
    with psycopg.connect(url, autocommit=True) as db:
        for table, (columns, values) in TABLES.items():
            selected = values.format(rows=rows).replace("%%", "%")
            db.execute(f"create table {table} ({columns})")
            db.execute(f"insert into {table} select {selected} from generate_series(1, {rows}) g")
        for index in INDEXES:
            db.execute(f"create index on {index}")
        db.execute("create extension if not exists pg_stat_statements")
        db.execute("vacuum analyze")


@dataclass(frozen=True, slots=True)
class ServerCount:
    """What the server itself counted.

    queries: statements that read one of the tables; rows: that they returned.
    """

    queries: int
    rows: int


class StatementCounts:
    """Counts by pg_stat_statements, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def reset(self) -> None:
        """Begin again at 0."""
        with psycopg.connect(self._url, autocommit=True) as db:
            db.execute("select pg_stat_statements_reset()")

    def count(self) -> ServerCount:
        """Since the last `reset`."""
        tables = "|".join(TABLES)
        with psycopg.connect(self._url, autocommit=True) as db:
            [row] = db.execute(
                "select coalesce(sum(calls), 0)::bigint, coalesce(sum(rows), 0)::bigint"
                " from pg_stat_statements where query ~* %s",
                [rf"\m({tables})\M"],
            ).fetchall()
        return ServerCount(*row)


@dataclass
class OrderErp:
    """The running system of a round.

    orders: order id -> customer id, of the events in the log.
    """

    log: EmbeddedLog
    registry: MemoryRegistry
    codec: SystemTopicCodec
    reader: Reader
    tables: Mapping[str, EntityTable]
    gateways: Gateways
    orders: Mapping[int, int]

    async def publish(self, encoder: RowEncoder) -> None:
        """What capture writes for new orders, each in a transaction of its own."""
        entries: list[Any] = []
        now_us = time.time_ns() // 1000
        changes = [
            Change(
                ORDER_SHAPE, 1, None, False, (order, customer), 0,
                SourceTransaction(f"tx{number}", number, now_us), None,
            )
            for number, (order, customer) in enumerate(self.orders.items(), 1)
        ]  # fmt: skip
        failures = encoder.changes(changes, 1, now_us, entries)
        assert failures == []
        await self.log.append(change_topic(BRIDGE, "erp", "order"), entries)


def random_orders(rows: int, seed: int = 1) -> dict[int, int]:
    """Distinct orders that have lines, and a customer of each."""
    chance = random.Random(seed)  # noqa: S311 - the same in each run
    orders = chance.sample(range(1, rows // LINES_PER_ORDER), EVENTS)
    return {order: chance.randrange(1, rows + 1) for order in orders}


def erp_system(url: str, port: int) -> System:
    """The system at this port, where the server or a proxy before it listens."""
    address = make_url(url).set(port=port).render_as_string(hide_password=False)
    uses: Sequence[TableUse] = [TableUse(table, ("id",)) for table in TABLES]
    return System(BRIDGE, "erp", address, address, PostgresOptions(), tuple(uses))


@asynccontextmanager
async def open_order_erp(
    folder: Path, system: System, orders: Mapping[int, int], observer: Observer
) -> AsyncIterator[OrderErp]:
    """Reader, gateway, and a log with the events. The catalogue has been read."""
    reader = await connector.reader(system)
    log = EmbeddedLog(folder / f"log-{time.monotonic_ns()}.db", partitions=PARTITIONS)
    await log.open()
    try:
        tables = {}
        for name, spec in SPECS.items():
            shape = (await reader.fetch(Ask(spec.table, ("id",), [(1,)]))).shape
            tables[name] = EntityTable(spec, entity_type(spec, shape), shape)
        registry = MemoryRegistry()
        codec = SystemTopicCodec(registry, BRIDGE)
        await codec.open()
        topic = change_topic(BRIDGE, "erp", "order")
        await log.create_topics(
            [TopicSpec(codec.topic(kind)) for kind in TOPIC_KINDS]
            + [TopicSpec(topic, "compact", history_ms=10**10)]
        )
        order = entity_type(ORDER, ORDER_SHAPE)
        ids = [
            await registry.register(f"{topic}-{part}", schema_text(schema))
            for part, schema in (("key", key_schema(order)), ("value", change_schema(order)))
        ]
        order_table = EntityTable(ORDER, order, ORDER_SHAPE)
        gateway = Gateway(
            "erp", reader, {**tables, "order": order_table}, SystemLimits(), observer=observer
        )
        erp = OrderErp(log, registry, codec, reader, tables, Gateways({"erp": gateway}), orders)
        await erp.publish(
            RowEncoder(make_plan(ORDER, order, ORDER_SHAPE), BRIDGE, ids[0], ids[1], PARTITIONS)
        )
        yield erp
        await gateway.close()
    finally:
        await log.close()
