"""Confirms quoted sales whose goods are available; the others get a remark with the reason."""

from collections import Counter

from bridge import Agent, Command
from bridge.model.types import Relation

agent = Agent("order-desk")
UNDECIDED = {"state": "quotation", "remark": None}  # a sale with a remark waits for its clerk


@agent.on("erp.sale", ops={"create", "update", "read"}, where=UNDECIDED)
async def decide(event, ctx):
    wanted = Counter()
    for line in await ctx.related(event.after, "lines"):
        wanted[line.product_id] += line.quantity
    products = await ctx.get_many("erp.product", list(wanted))
    short = [
        f"{wanted[product.product_id]:g} {product.name} wanted, {product.available:g} available"
        for product in products
        if wanted[product.product_id] > product.available
    ]
    if short:
        reason = "; ".join(short)[:200]
        return Command("erp.hold_sale", event.key, {"reason": reason}, expect=event.version)
    return Command("erp.confirm_sale", event.key, expect=event.version)


def test_decide():
    sale = {"sale_id": 1, "state": "quotation", "remark": None}
    line = {"line_id": 1, "sale_id": 1, "product_id": 7, "quantity": 2.0}
    product = {"product_id": 7, "name": "table", "available": 3.0}
    with agent.test(
        {"erp.sale_line": [line, {**line, "line_id": 2}], "erp.product": [product]},
        relations={"erp.sale": [Relation("lines", "sale_line", by="sale_id")]},
    ) as t:
        reason = "4 table wanted, 3 available"
        t.emit("erp.sale", "create", sale)
        t.redeliver()
        t.emit("erp.sale", "update", {**sale, "remark": reason})
        assert [(c.name, c.args) for c in t.commands] == [("erp.hold_sale", {"reason": reason})]
        t.emit("erp.product", "update", {**product, "available": 4.0})
        t.emit("erp.sale", "update", sale)
        assert t.commands[1].name == "erp.confirm_sale"
