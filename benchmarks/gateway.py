"""What does a read through the gateway cost, beside data loaders over the same reader and plan?

The reads are those of handlers that run at once (`unique loads`: one task each), of a handler that
has all keys (`many`), and of one that awaits each row before the next (`awaited loop`). Readers:
rows in memory, so that only the loaders' own work is measured (by the processor's time), and SQLite.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.loaders import aiodataloader, load_many, strawberry
from benchmarks.plan import python_row, shape
from benchmarks.results import Results
from bridge.connector import Ask, Reader, ReaderFeatures, Rows, Shape, System, TableUse
from bridge.gateway import Gateway, Gateways
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import Wire
from connectors.journal.connector import JournalOptions
from connectors.sql.read.reader import SqlReader
from connectors.sql.sqlite.dialect import SQLITE

ROWS = 20_000
UNIQUE = 1_000
LOOP = 200
ROUNDS = 25
ENTITY = "erp.orders"


class DictionaryReader:
    """Answers from a dictionary, after one turn of the event loop."""

    max_keys = UNIQUE
    features = ReaderFeatures()

    def __init__(self) -> None:
        self._shape: Shape = shape(Wire.PYTHON)
        self._rows = {(number,): python_row(number) for number in range(ROWS)}

    async def fetch(self, ask: Ask) -> Rows:
        await asyncio.sleep(0)
        return Rows(self._shape, [self._rows[key] for key in ask.keys])

    async def close(self) -> None:
        pass


class Contender(NamedTuple):
    """One way to read. `begin`: what a request begins with; the others read through it."""

    name: str
    begin: Callable[[], Any]
    load: Callable[[Any, Any], Awaitable[Any]]
    many: Callable[[Any, Sequence[Any]], Awaitable[list[Any]]]


async def _gateway_get(gateway: Any, key: Any) -> Any:
    return await gateway.get(ENTITY, key)


async def _gateway_get_many(gateway: Any, keys: Sequence[Any]) -> list[Any]:
    rows: list[Any] = await gateway.get_many(ENTITY, keys)
    return rows


async def _load(loader: Any, key: Any) -> Any:
    return await loader.load(key)


def contenders(reader: Reader, table: EntityTable) -> list[Contender]:
    """The gateway first."""
    gateway = Gateways({"erp": Gateway("erp", reader, {"orders": table}, SystemLimits())})
    return [
        Contender("gateway", lambda: gateway, _gateway_get, _gateway_get_many),
        Contender("aiodataloader", partial(aiodataloader, reader, table), _load, load_many),
        Contender("strawberry", partial(strawberry, reader, table), _load, load_many),
    ]


async def unique_loads(way: Contender, keys: Sequence[Any]) -> list[Any]:
    """A task for each key, as handlers of as many events are."""
    reads = way.begin()
    tasks = [asyncio.ensure_future(way.load(reads, key)) for key in keys]
    return list(await asyncio.gather(*tasks))


async def many(way: Contender, keys: Sequence[Any]) -> list[Any]:
    """All keys in one call."""
    return await way.many(way.begin(), keys)


async def awaited_loop(way: Contender, keys: Sequence[Any]) -> list[Any]:
    """Each row before the next key is asked for."""
    reads = way.begin()
    return [await way.load(reads, key) for key in keys]


Reading = Callable[[Contender, Sequence[Any]], Awaitable[list[Any]]]
READINGS: tuple[tuple[str, Reading, int], ...] = (
    ("unique loads", unique_loads, UNIQUE),
    ("many", many, UNIQUE),
    ("awaited loop", awaited_loop, LOOP),
)


async def compare(
    ways: Sequence[Contender], reading: Reading, count: int, clock: Callable[[], float]
) -> list[float]:
    """The seconds of each one's quickest round; they take turns."""
    keys = random.Random(1).sample(range(ROWS), count)  # noqa: S311 - the same in each run
    quickest = [float("inf")] * len(ways)
    gc.collect()
    gc.disable()
    try:
        for number in range(ROUNDS):
            for index, way in enumerate(ways):
                begin = clock()
                rows = await reading(way, keys)
                quickest[index] = min(quickest[index], clock() - begin)
                assert number or [row["id"] for row in rows] == keys
    finally:
        gc.enable()
    return quickest


async def measure(
    results: Results,
    kind: str,
    reader: Reader,
    table: EntityTable,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    ways = contenders(reader, table)
    for name, reading, count in READINGS:
        own, *others = await compare(ways, reading, count, clock)
        for way, seconds in zip(ways[1:], others, strict=True):
            title = f"{kind}, {name}: {way.name}"
            results.add(title, seconds / count * 1e6, "us/row")
        for way, seconds in zip(ways[1:], others, strict=True):
            title = f"{kind}, {name}: gateway"
            results.add(title, own / count * 1e6, "us/row", f"{way.name}'s rate", seconds / own)


@contextmanager
def sqlite_reader() -> Iterator[tuple[SqlReader, Shape]]:
    """The same rows in a database file, and the table's shape by its catalogue."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "erp.db"
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer, status text,"
                " quantity integer, price real, note text)"
            )
            rows = (
                (row[0], row[1], row[2], row[4], row[5], row[6])
                for row in map(python_row, range(ROWS))
            )
            db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", rows)
        url = f"sqlite:///{path}"
        tables = (TableUse("orders", ("id",)),)
        reader = SqlReader(System("bench", "erp", url, url, JournalOptions(), tables), SQLITE)
        yield reader, asyncio.run(_shape_of(reader))


async def _shape_of(reader: SqlReader) -> Shape:
    return (await reader.fetch(Ask("orders", ("id",), [(1,)]))).shape


def mapping(table_shape: Shape, table: str) -> EntityTable:
    spec = EntitySpec("erp", "orders", table, key=("id",))
    return EntityTable(spec, entity_type(spec, table_shape), table_shape)


def main() -> int:
    results = Results("gateway")
    table = mapping(shape(Wire.PYTHON), "public.orders")
    asyncio.run(measure(results, "memory", DictionaryReader(), table, time.process_time))
    with sqlite_reader() as (reader, table_shape):
        asyncio.run(_measure_sqlite(results, reader, table_shape))
    return 0


async def _measure_sqlite(results: Results, reader: SqlReader, table_shape: Shape) -> None:
    try:
        await measure(results, "SQLite", reader, mapping(table_shape, "orders"))
    finally:
        await reader.close()


if __name__ == "__main__":
    main()
