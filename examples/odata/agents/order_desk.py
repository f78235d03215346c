"""Confirms open orders whose goods are in stock, and holds the others with the reason."""

from collections import Counter

from bridge import Agent, Command
from bridge.model.types import Relation

agent = Agent("order-desk")


@agent.on("erp.sales_order", ops={"create", "update", "read"}, where={"status": "open"})
async def decide(event, ctx):
    wanted = Counter()
    for line in await ctx.related(event.after, "lines"):
        wanted[line.product_id] += line.quantity
    products = await ctx.get_many("erp.product", list(wanted))
    short = [
        f"{wanted[product.product_id]} {product.name} wanted, {product.stock} in stock"
        for product in products
        if wanted[product.product_id] > product.stock
    ]
    if short:
        reason = "; ".join(short)[:200]
        return Command("erp.hold_order", event.key, {"reason": reason}, expect=event.version)
    return Command("erp.confirm_order", event.key, expect=event.version)


def test_decide():
    order = {"order_no": "1", "status": "open"}
    line = {"order_no": "1", "line_no": 1, "product_id": "P1", "quantity": 2}
    product = {"product_id": "P1", "name": "table", "stock": 3}
    with agent.test(
        {"erp.order_line": [line, {**line, "line_no": 2}], "erp.product": [product]},
        keys={"erp.order_line": ["order_no", "line_no"]},
        relations={"erp.sales_order": [Relation("lines", "order_line", by="order_no")]},
    ) as t:
        t.emit("erp.sales_order", "create", order)
        t.redeliver()
        assert [(c.name, c.args) for c in t.commands] == [
            ("erp.hold_order", {"reason": "4 table wanted, 3 in stock"})
        ]
        t.emit("erp.product", "update", {**product, "stock": 4})
        t.emit("erp.sales_order", "update", order)
        assert t.commands[1].name == "erp.confirm_order"
