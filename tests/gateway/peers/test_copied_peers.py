"""With a copy of the system, what is read for peers fills it, and reads are answered by it."""

from __future__ import annotations

from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadCause, ReadDemands
from tests.gateway.copied_erp import CopiedErp, LaggingCopy, erp_gateway, tables_read


def twenty_orders() -> tuple[CopiedErp, LaggingCopy]:
    """Each of a customer of its own."""
    erp = CopiedErp()
    for number in range(20):
        erp.write("customers", number, f"customer {number}")
        erp.write("orders", number, number, "open")
    copy = LaggingCopy(erp)
    copy.follow()
    return erp, copy


async def test_a_loop_takes_two_queries_a_level_and_the_copy_answers_the_rest() -> None:
    erp, copy = twenty_orders()
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


async def test_rows_that_the_copy_answered_are_peers_as_well() -> None:
    """The loop reads on only from its fourth row, which the copy answered."""
    erp, copy = twenty_orders()
    gateway = erp_gateway(erp, copy)
    demands = ReadDemands(cause=ReadCause("agent"))
    for order in await gateway.query("order", {"note": "open"}, 100, demands):
        buyer = await gateway.related("order", order, "buyer", demands)
        if order.id > 3:
            assert await gateway.related("customer", buyer, "orders", demands)
    assert tables_read(erp) == ["orders", "customers", "customers", "orders", "orders"]
    await gateway.close()


async def test_in_doubt_the_legacy_system_is_asked_for_each_row() -> None:
    erp, copy = twenty_orders()
    copy.doubts.add("customer")
    copy.barriers = copy.has_barriers = False
    copy.prove(0.0)
    gateway = erp_gateway(erp, copy)
    demands = ReadDemands(cause=ReadCause("agent"))
    for order in await gateway.query("order", {"note": "open"}, 100, demands):
        buyer = await gateway.related("order", order, "buyer", demands)
        assert provenance(buyer).source == "legacy"
    assert tables_read(erp).count("customers") == 20
    await gateway.close()
