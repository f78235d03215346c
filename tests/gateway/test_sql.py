"""The gateway over a real database, through the plan that also makes events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.gateway import Gateway
from bridge.model.errors import Rejected
from bridge.model.event import row_version
from bridge.model.provenance import version
from bridge.model.specs import SystemLimits
from bridge.observe import Notice
from bridge.wiring.registry_events import RegistryEventDecoder
from connectors.journal import connector
from tests.agent.sqlite_erp import ErpHarness, open_erp


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ErpHarness]:
    async with open_erp(tmp_path) as erp:
        yield erp


async def gateway(here: ErpHarness, notices: list[Notice] | None = None) -> Gateway:
    observer = (notices if notices is not None else []).append
    reader = await connector.reader(here.system)
    return Gateway("erp", reader, here.tables, SystemLimits(), observer=observer)


async def test_a_row_that_was_read_equals_after_of_the_same_state_field_by_field(
    here: ErpHarness,
) -> None:
    rows = [here.order(n, n % 3, n + 0.5) for n in range(1, 21)]
    await here.publish("sales_order", 1, rows)
    door = await gateway(here)
    try:
        for record in await here.raw("acme.erp.sales_order"):
            event = await RegistryEventDecoder(here.registry, {}).decode(record)
            assert event is not None
            read = await door.get("sales_order", event.key)
            assert read is not None
            assert read == event.after
            assert dict(read) == dict(event.after)
            assert {type(read[n]) for n in read} == {type(event.after[n]) for n in event.after}
            assert version(read) == row_version(event.type, event.after)
    finally:
        await door.close()


async def test_a_thousand_reads_are_as_many_queries_as_the_database_needs(here: ErpHarness) -> None:
    here.customers(1000)
    notices: list[Notice] = []
    door = await gateway(here, notices)
    try:
        rows = await door.get_many("customer", [str(n) for n in range(1, 1101)])
    finally:
        await door.close()
    assert [row is not None for row in rows] == [True] * 1000 + [False] * 100
    assert len(notices) <= 3


async def test_a_value_that_a_field_can_never_have_is_refused_for_its_reader_alone(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 1)
    door = await gateway(here)
    try:
        assert len(await door.query("sales_order", {"status": "open"}, 10)) == 1
        with pytest.raises(Rejected, match="not a value of its `map`"):
            await door.query("sales_order", {"status": "lost"}, 10)
        with pytest.raises(Rejected, match="has no field 'colour'"):
            await door.query("sales_order", {"colour": "red"}, 10)
        with pytest.raises(Rejected, match="by null"):
            await door.query("sales_order", {"block": [None, "01"]}, 10)
    finally:
        await door.close()


async def test_a_relation_leads_to_the_row_by_the_sources_own_key(here: ErpHarness) -> None:
    here.customers(2)
    here.order(1, 2, 1)
    door = await gateway(here)
    try:
        [order] = await door.query("sales_order", {}, 10)
        customer = await door.related("sales_order", order, "customer")
    finally:
        await door.close()
    assert (order.customer_id, customer.customer_id) == ("2", "2")
