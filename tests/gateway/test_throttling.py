"""A system that asks to be left alone (`Retry-After`) is, by every read of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.connector import Ask, Rows, System
from bridge.gateway import Gateway
from bridge.gateway.limiter import Limiter
from bridge.model.errors import RetryLater, SystemBusy
from bridge.model.provenance import provenance
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import Relation
from bridge.observe import Notice, Throttled
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from tests.connectors.polled import fake
from tests.connectors.polled.store import JsonStore, StoreTable
from tests.waiting import WAIT_TIMEOUT_S


class ThrottlingReader(fake.FileReader):
    """Refuses the first query and says for how long."""

    def __init__(self, system: System, after: float | None) -> None:
        super().__init__(system)
        self._after = after
        self.asked_at: list[float] = []

    async def fetch(self, ask: Ask) -> Rows:
        self.asked_at.append(asyncio.get_running_loop().time())
        if len(self.asked_at) == 1:
            raise RetryLater("the ERP is busy", after=self._after)
        return await super().fetch(ask)


@pytest.fixture
def erp(tmp_path: Path) -> System:
    """500 orders with two lines each, in a system whose reads take 25 keys at a time."""
    store = JsonStore(tmp_path / "erp.json")
    with store.transaction() as tables:
        tables["orders"] = StoreTable("no", {"no": "integer", "note": "string"}, {})
        tables["lines"] = StoreTable("id", {"id": "integer", "order_no": "integer"}, {})
        for number in range(500):
            store.put(tables["orders"], {"no": number, "note": f"order {number}"})
            for line in (0, 1):
                store.put(tables["lines"], {"id": 2 * number + line, "order_no": number})
    return fake.system(store.path, ["orders", "lines"], max_keys=25)


def door(
    erp: System, reader: fake.FileReader, seen: list[Notice], limiter: Limiter | None = None
) -> Gateway:
    tables = {}
    relations = (Relation("lines", "lines", by="order_no"),)
    for name in ("orders", "lines"):
        shape = fake.shape_of(name, fake.table_of(erp, name))
        spec = EntitySpec("erp", name, name, relations=relations if name == "orders" else ())
        tables[name] = EntityTable(spec, entity_type(spec, shape), shape)
    return Gateway("erp", reader, tables, SystemLimits(), observer=seen.append, limiter=limiter)


async def test_five_hundred_keys_and_their_lines_are_as_few_fetches_as_the_reader_takes(
    erp: System,
) -> None:
    reader = fake.FileReader(erp)
    gateway = door(erp, reader, [])
    orders = await gateway.get_many("orders", range(500))
    assert [order and order.note for order in orders] == [f"order {n}" for n in range(500)]
    assert reader.fetches == 500 / 25
    lines = await gateway.related_many("orders", orders, "lines")
    assert [len(rows) for rows in lines] == [2] * 500
    assert reader.fetches == 2 * 500 / 25


async def test_without_visibility_a_row_claims_a_time_and_no_position(erp: System) -> None:
    before = datetime.now(UTC)
    row = await door(erp, fake.FileReader(erp), []).get("orders", 7)
    row_origin = provenance(row)
    assert (row_origin.source, row_origin.position) == ("legacy", None)
    assert before - timedelta(seconds=1) < row_origin.as_of <= datetime.now(UTC)


async def test_all_reads_of_the_system_wait_as_long_as_it_asked_and_it_is_told_once(
    erp: System,
) -> None:
    reader, seen = ThrottlingReader(erp, 0.4), list[Notice]()
    gateway = door(erp, reader, seen, Limiter(SystemLimits(1)))
    first = asyncio.create_task(gateway.get("orders", 1))
    with pytest.raises(RetryLater, match="the ERP is busy"):
        await first
    rows = await asyncio.gather(gateway.get("orders", 2), gateway.query("orders", {"no": 3}, 5))
    assert all(rows)
    refused, *later = reader.asked_at
    assert min(later) - refused >= 0.39
    assert [notice for notice in seen if isinstance(notice, Throttled)] == [
        Throttled("erp", 0.4, "the ERP is busy")
    ]


async def test_a_read_does_not_wait_for_longer_than_anybody_would(erp: System) -> None:
    gateway = door(erp, ThrottlingReader(erp, 3600.0), [])
    for number in (1, 2, 3):
        with pytest.raises(RetryLater, match="the ERP is busy") as error:
            await asyncio.wait_for(gateway.get("orders", number), WAIT_TIMEOUT_S)
    assert error.value.after is not None
    assert 3590 < error.value.after <= 3600


async def test_a_refusal_without_a_time_holds_nobody_back(erp: System) -> None:
    reader, seen = ThrottlingReader(erp, None), list[Notice]()
    gateway = door(erp, reader, seen)
    with pytest.raises(RetryLater):
        await gateway.get("orders", 1)
    assert await gateway.get("orders", 1)
    assert not [notice for notice in seen if isinstance(notice, Throttled)]


class BusyReader(fake.FileReader):
    """Refuses for its load, and doesn't say for how long."""

    async def fetch(self, ask: Ask) -> Rows:
        raise SystemBusy("canceling statement due to lock timeout")


async def test_a_lock_that_is_not_available_takes_a_connection_away(erp: System) -> None:
    limiter = Limiter(SystemLimits(4))
    gateway = door(erp, BusyReader(erp), [], limiter)
    for _ in range(2):
        with pytest.raises(SystemBusy):
            await gateway.get("orders", 1)
    assert limiter._control.ceilings.connections.limit == 2


async def test_rows_of_answers_are_charged(erp: System) -> None:
    limiter = Limiter(SystemLimits(4, rows_per_second=1))
    gateway = door(erp, fake.FileReader(erp), [], limiter)
    await gateway.get_many("orders", range(20))
    now = limiter._clock()
    assert 17 < limiter._control.ceilings.not_before(now) - now <= 19


async def test_a_hold_that_is_made_longer_while_reads_wait_is_waited_for_in_full() -> None:
    now, slept = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        if len(slept) == 1:
            assert not limiter.throttle(1.0, "sooner than known already")
            assert limiter.throttle(7.0, "again")
        now += seconds

    limiter = Limiter(SystemLimits(), clock=lambda: now, sleep=sleep)
    assert limiter.throttle(2.0, "busy")
    await limiter.acquire()
    assert slept == [2.0, 5.0]
