"""With a copy of the system, what is read for peers fills it, and reads are answered by it."""

from __future__ import annotations

from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadCause, ReadDemands
from tests.gateway.copied_erp import CopiedErp, LaggingCopy, erp_gateway, tables_read


async def test_a_loop_takes_two_queries_a_level_and_the_copy_answers_the_rest() -> None:
    erp = CopiedErp()
    for number in range(20):
        erp.write("customers", number, f"customer {number}")
        erp.write("orders", number, number, "open")
    copy = LaggingCopy(erp)
    copy.follow()
    gateway = erp_gateway(erp, copy)
    demands = ReadDemands(cause=ReadCause("agent"))
    sources = []
    for order in await gateway.query("order", {"note": "open"}, 100, demands):
        buyer = await gateway.related("order", order, "buyer", demands)
        sources.append(provenance(buyer).source)
        [own] = await gateway.related("customer", buyer, "orders", demands)
        assert (buyer.id, own.id) == (order.customer, order.id)
    assert tables_read(erp) == ["orders", "customers", "orders", "customers", "orders"]
    assert sources == ["legacy"] * 2 + ["cache"] * 18
    await gateway.close()
