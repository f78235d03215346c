"""What does an N+1 cascade cost, written in which way?

1,000 order events in an embedded log; a real agent (AgentRunner) handles them. Its handler reads the
order's customer and lines, each line's product and each product's stocks, over PostgreSQL tables of
a million rows (`BENCH_ROWS` sets another number): 8,000 reads one by one. The same handler is
written with `gather` and `get_many`, as plain awaited loops, with data loaders over the same reader
and plan, and naively: one query a read, one event after another. Queries and rows are counted by
the server. Each way is measured directly and with 2 ms added to each round trip by a proxy.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from aiodataloader import DataLoader
from strawberry.dataloader import DataLoader as StrawberryLoader

from benchmarks.delay_proxy import DelayProxy
from benchmarks.loaders import batch_function, list_batch_function
from benchmarks.order_erp import (
    BRIDGE,
    EVENTS,
    LINES_PER_ORDER,
    ONE_BY_ONE,
    OrderErp,
    ServerCount,
    StatementCounts,
    create,
    erp_system,
    open_order_erp,
    random_orders,
)
from benchmarks.results import Results
from bridge import Agent
from bridge.agent.runner import AgentRunner
from bridge.connector import System
from bridge.observe import Notice, RowsRead
from bridge.wiring.registry_events import RegistryEventDecoder
from tests.agent.sqlite_erp import FakeCommandTargets
from tests.services import provide

ROWS: Final = int(os.environ.get("BENCH_ROWS", "1000000"))
NETWORK_S: Final = 0.0001
"""What the proxy adds so that a round trip takes about 0.2 ms: it costs as much again itself."""
ADDED_S: Final = 0.002
LOADER_BATCH: Final = 1000
NAIVE_EVENTS: Final = 200
"""They take as long each as the others would."""

Handler = Callable[[Any, Any], Awaitable[None]]
Outcome = tuple[str, int, int]
"""Of an order: its customer's name, its value, the quantities in stock of its products."""


@dataclass
class HandlerRun:
    """One way's run: what the handlers made of each order, and when they ran."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0

    def begin(self) -> None:
        self.began = self.began or time.perf_counter()

    def finish(self, order: int, outcome: Outcome) -> None:
        self.outcomes[order] = outcome
        self.ended = time.perf_counter()


class HandlerWay(NamedTuple):
    """One way to write the handler.

    handler: made for a run. concurrency: of the agent. events: how many it handles.
    """

    name: str
    handler: Callable[[OrderErp, HandlerRun], Handler]
    concurrency: int = EVENTS
    events: int = EVENTS


def by_gather(_erp: OrderErp, measure: HandlerRun) -> Handler:
    async def read(event: Any, ctx: Any) -> None:
        measure.begin()
        order = event.after
        customer, lines = await asyncio.gather(
            ctx.related(order, "customer"), ctx.related(order, "lines")
        )
        products = await ctx.get_many("erp.product", [line.product_id for line in lines])
        stocks = await asyncio.gather(*(ctx.related(product, "stocks") for product in products))
        measure.finish(order.id, _outcome(customer, lines, products, stocks))

    return read


def by_loops(_erp: OrderErp, measure: HandlerRun, *, peers: bool = True) -> Handler:
    """Worked sum for one event at a time, n lines, n > 1: the customer 1 query, the lines 1; the
    products 2 and their stocks 2 by peers, n and n without.
    """

    async def read(event: Any, ctx: Any) -> None:
        measure.begin()
        order = event.after
        customer = await ctx.get("erp.customer", order.customer_id)
        value = in_stock = 0
        for line in await ctx.related(order, "lines"):
            product = await ctx.related(line, "product", peers=peers)
            value += line.quantity * product.price
            for stock in await ctx.related(product, "stocks", peers=peers):
                in_stock += stock.quantity
        measure.finish(order.id, (customer.name, value, in_stock))

    return read


class _Loaders:
    """A loader for each of the handler's questions."""

    def __init__(self, erp: OrderErp, loader: Callable[[Any], Any]) -> None:
        reader, tables = erp.reader, erp.tables
        self.customers = loader(batch_function(reader, tables["customer"]))
        self.lines = loader(list_batch_function(reader, tables["line"], "order_id"))
        self.products = loader(batch_function(reader, tables["product"]))
        self.stocks = loader(list_batch_function(reader, tables["stock"], "product_id"))


def by_loaders(
    loader: Callable[[Any], Any], erp: OrderErp, measure: HandlerRun, *, shared: bool
) -> Handler:
    """shared: one set of loaders for all events, which nobody may do who wants current rows; else
    one for each event, as their documentation has it for requests.
    """
    common: list[_Loaders] = []

    async def read(event: Any, _ctx: Any) -> None:
        measure.begin()
        if shared and not common:
            common.append(_Loaders(erp, loader))
        loaders = common[0] if shared else _Loaders(erp, loader)
        order = event.after
        customer, lines = await asyncio.gather(
            loaders.customers.load(order.customer_id), loaders.lines.load(order.id)
        )
        products = await loaders.products.load_many([line.product_id for line in lines])
        stocks = await loaders.stocks.load_many([product.id for product in products])
        measure.finish(order.id, _outcome(customer, lines, products, stocks))

    return read


def naively(erp: OrderErp, measure: HandlerRun) -> Handler:
    customers = batch_function(erp.reader, erp.tables["customer"])
    products = batch_function(erp.reader, erp.tables["product"])
    lines_of = list_batch_function(erp.reader, erp.tables["line"], "order_id")
    stocks_of = list_batch_function(erp.reader, erp.tables["stock"], "product_id")

    async def read(event: Any, _ctx: Any) -> None:
        measure.begin()
        order = event.after
        [customer] = await customers([order.customer_id])
        value = in_stock = 0
        [lines] = await lines_of([order.id])
        for line in lines:
            [product] = await products([line.product_id])
            value += line.quantity * product.price
            [stocks] = await stocks_of([product.id])
            in_stock += sum(stock.quantity for stock in stocks)
        measure.finish(order.id, (customer.name, value, in_stock))

    return read


def _outcome(customer: Any, lines: Any, products: Any, stocks: Any) -> Outcome:
    value = sum(
        line.quantity * product.price for line, product in zip(lines, products, strict=True)
    )
    return (
        customer.name,
        value,
        sum(stock.quantity for of_product in stocks for stock in of_product),
    )


_aiodataloader = partial(DataLoader, max_batch_size=LOADER_BATCH)


def _strawberry(load: Any) -> Any:
    return StrawberryLoader(load_fn=load, max_batch_size=LOADER_BATCH)


QUERIES_BY_PEERS: Final = 2 + 2 * 2
LOOPS_ALONE: Final = HandlerWay("loops, one event at a time", by_loops, 1, NAIVE_EVENTS)
NAIVE: Final = HandlerWay("naive", naively, 1, NAIVE_EVENTS)
WAYS: Final = (
    HandlerWay("gather", by_gather),
    HandlerWay("loops", by_loops),
    LOOPS_ALONE,
    HandlerWay("the same without peers", partial(by_loops, peers=False), 1, NAIVE_EVENTS),
    HandlerWay("aiodataloader, shared", partial(by_loaders, _aiodataloader, shared=True)),
    HandlerWay("strawberry, shared", partial(by_loaders, _strawberry, shared=True)),
    HandlerWay("aiodataloader, one per event", partial(by_loaders, _aiodataloader, shared=False)),
    HandlerWay("strawberry, one per event", partial(by_loaders, _strawberry, shared=False)),
    NAIVE,
)


async def run_way(
    folder: Path,
    system: System,
    way: HandlerWay,
    orders: Mapping[int, int],
    counts: StatementCounts,
) -> tuple[HandlerRun, ServerCount, int]:
    """Handle all events once: what came of it, what the server counted, and the gateway's count."""
    measure = HandlerRun()
    queries = 0
    done = asyncio.Event()

    def observe(notice: Notice) -> None:
        nonlocal queries
        if isinstance(notice, RowsRead):
            queries += notice.queries
        elif len(measure.outcomes) == way.events:
            done.set()

    orders = dict(islice(orders.items(), way.events))
    async with open_order_erp(folder, system, orders, observe) as erp:
        agent = Agent("reads", concurrency=way.concurrency, unfinished=EVENTS)
        agent.on("erp.order", ops={"create"})(way.handler(erp, measure))
        runner = AgentRunner(
            agent,
            bridge=BRIDGE,
            log=erp.log,
            codec=erp.codec,
            events=RegistryEventDecoder(erp.registry, {}),
            reads=erp.gateways,
            commands=FakeCommandTargets(),
            observer=observe,
        )
        counts.reset()
        stop = asyncio.Event()
        running = asyncio.create_task(runner.run(stop))
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        count = counts.count()
        stop.set()
        await running
    return measure, count, queries


def round_trip_s(url: str, port: int) -> float:
    """The median of a statement that reads nothing."""
    with psycopg.connect(url, autocommit=True, port=port) as db:
        times = []
        for _ in range(200):
            began = time.perf_counter()
            db.execute("select 1")
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure_all(results: Results, title: str, url: str, port: int, folder: Path) -> None:
    """Every way over the same events, each cold by key."""
    results.add(f"{title}: round trip", round_trip_s(url, port) * 1e3, "ms")
    system, orders, counts = erp_system(url, port), random_orders(ROWS), StatementCounts(url)
    runs = {}
    for way in WAYS:
        runs[way] = asyncio.run(run_way(folder, system, way, orders, counts))
    slow = runs[NAIVE][0]
    slow_s = (slow.ended - slow.began) / NAIVE.events
    outcomes = runs[WAYS[0]][0].outcomes
    for way, (run, count, own_count) in runs.items():
        assert len(run.outcomes) == way.events, f"{way.name}: {len(run.outcomes)} events"
        wrong = [order for order in run.outcomes if run.outcomes[order] != outcomes[order]]
        assert not wrong, f"{way.name} read other rows for {wrong}"
        if way is LOOPS_ALONE:
            assert count.queries <= QUERIES_BY_PEERS * way.events, count
            assert count.rows == runs[NAIVE][1].rows, "a row was read that nobody asked for"
        assert own_count in {0, count.queries}, f"the gateway counts {own_count} queries"
        name = f"{title}, {way.name}"
        results.add(f"{name}: queries", count.queries / way.events * EVENTS, f"a {EVENTS} events")
        results.add(f"{name}: rows", count.rows / way.events * EVENTS, f"a {EVENTS} events")
        seconds = (run.ended - run.began) / way.events
        results.add(
            f"{name}: time", seconds * 1e6, "us/event", "the naive loop's rate", slow_s / seconds
        )


def main() -> int:
    results = Results("nplusone")
    print(
        f"{EVENTS} events, {LINES_PER_ORDER} lines an order, {ONE_BY_ONE} reads one by one, "
        f"tables of {ROWS} rows"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        provide.private_postgres(
            {"shared_preload_libraries": "pg_stat_statements", "shared_buffers": "512MB"}
        ) as server,
    ):
        url = server.new_database()
        create(url, ROWS)
        for title, delay_s in (("0.2 ms", NETWORK_S), ("2 ms added", NETWORK_S + ADDED_S)):
            with DelayProxy(server.host, server.port, delay_s) as proxy:
                measure_all(results, title, url, proxy.port, Path(folder))
    return 0


if __name__ == "__main__":
    main()
