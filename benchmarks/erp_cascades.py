"""A cascade of reads over ten thousand rows of two ERPs: requests that the ERP counts, against the most
that the gateway may need, and against one request a read.

Orders, their lines, each line's product and each order's customer. The bound is
4 * ceil(keys / max_keys) + 4. A `$batch` counts as one request. Tryton is logged in to, and its models
are described, once a process; these calls are counted apart.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.results import Results
from bridge.gateway import Gateway
from bridge.observe import ignore
from tests.connectors.odata import order_system
from tests.connectors.tryton import erp
from tests.services import provide
from tests.services.cap import order_id

ORDERS = 2_000
LINES = 4
PRODUCTS = 500
MAX_KEYS = 1_000


def main() -> None:
    """SAP CAP by OData V4, then Tryton by JSON-RPC."""
    results = Results("erp_cascades")
    asyncio.run(of_cap(results))
    asyncio.run(of_tryton(results))


async def of_cap(results: Results) -> None:
    """Requests as CAP counts them."""
    with provide.cap() as cap:
        cap.fill(orders=ORDERS, lines=LINES, products=PRODUCTS)
        keys = [order_id(number) for number in range(ORDERS)]
        async with order_system.gateway(order_system.system(cap.url), ignore) as gateway:
            cap.reset()
            begun = time.perf_counter()
            counts = await cascade(gateway, "order", keys, line="line")
            seconds = time.perf_counter() - begun
            requests = cap.count().v4
    report(results, "SAP CAP", requests, counts, seconds)


async def of_tryton(results: Results) -> None:
    """Calls as Tryton counts them."""
    with provide.tryton() as tryton:
        tryton.start()
        keys = erp.ErpUser(tryton).fill(sales=ORDERS, lines=LINES)
        tryton.reset()
        async with erp.gateway(erp.system(tryton.url), ignore) as gateway:
            await cascade(gateway, "sale", keys[:1], line="line")
            results.add("Tryton: calls once a process", len(tryton.calls()), "requests")
            tryton.reset()
            begun = time.perf_counter()
            counts = await cascade(gateway, "sale", keys, line="line")
            seconds = time.perf_counter() - begun
            requests = len(tryton.calls())
    report(results, "Tryton", requests, counts, seconds)


async def cascade(gateway: Gateway, order: str, keys: Sequence[Any], *, line: str) -> list[int]:
    """Read all of it by set; returns how many keys each level asked for."""
    orders = await gateway.get_many(order, keys)
    assert None not in orders, "an order is missing"
    lines = await gateway.related_many(order, orders, "lines")
    flat = [each for of_order in lines for each in of_order]
    assert len(flat) == len(keys) * LINES, "lines are missing"
    products = await gateway.related_many(line, flat, "product")
    customers = await gateway.related_many(order, orders, "customer")
    assert None not in (*products, *customers), "a product or customer is missing"
    return [
        len(keys),
        len(keys),
        len({product["id"] for product in products}),
        len({customer["id"] for customer in customers}),
    ]


def report(results: Results, name: str, requests: int, keys: Sequence[int], seconds: float) -> None:
    """Requests against the bound, and against one for each read of a loop."""
    bound = 4 * math.ceil(max(keys) / MAX_KEYS) + 4
    reads = ORDERS * (1 + 1 + LINES + 1)
    rows = ORDERS * (1 + LINES) + keys[2] + keys[3]
    results.add(f"{name}: requests for {rows:,} rows", requests, "requests", "the bound",
                requests / bound)  # fmt: skip
    results.add(f"{name}: reads of a loop a request", reads / requests, "reads")
    results.add(f"{name}: rows a second", rows / seconds, "rows/s")
    assert requests <= bound, f"{name} was asked {requests} times; the bound is {bound}"
