"""Blocks open orders of customers whose credit limit would be passed."""

from bridge import Agent, Command

agent = Agent("credit-watch")


@agent.on("erp.sales_order", ops={"create", "update"})
async def check(event, ctx):
    order = event.after
    if order.status != "open" or order.block != "none":
        return None
    customer = await ctx.get("erp.customer", order.customer_id)
    if customer.exposure + order.total <= customer.credit_limit:
        return None
    return Command(
        "erp.block_order",
        key=event.key,
        args={"reason": f"limit {customer.credit_limit}, exposure {customer.exposure}"},
        expect=event.version,
    )


def test_check():
    order = {"order_no": "1", "customer_id": "7", "total": 5, "status": "open", "block": "none"}
    customer = {"customer_id": "7", "exposure": 9, "credit_limit": 10}
    with agent.test({"erp.customer": [customer]}) as t:
        t.emit("erp.sales_order", "create", order)
        t.redeliver()
        assert [command.name for command in t.commands] == ["erp.block_order"]
        assert t.legacy_queries == 1
