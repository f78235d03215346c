"""The ERP's users. They know nothing of the bridge: all that they see is the ERP.

    PASSWORD=... python -m examples.tryton.users URL SECONDS ACTS    an act every so many seconds

Most acts quote a sale; in others goods come in, and a sale that waits for them is cleared of its
remark. After so many acts they only watch.
"""

import os
import random
import sys
import time

from examples.tryton.company import CUSTOMERS, STOCK
from examples.tryton.rpc import ErpRefused, ErpRpc, exact


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Clerk:
    def __init__(self, url: str, password: str) -> None:
        self.erp = ErpRpc(url, "clerk", password)
        self.erp.context["company"] = self.erp.the("company.company")
        self.unit = self.erp.the("product.uom", ["name", "=", "Unit"])
        self.goods = {row["rec_name"]: row["id"] for row in self.erp.read("product.product")}
        self.seen: dict[int, tuple[str, str]] = {}

    def quote(self, customer: str, **wanted: int) -> str:
        """A quotation: the customer's wish, waiting for its confirmation. Returns its number."""
        party = self.erp.the("party.party", ["name", "=", customer])
        address = self.erp.the("party.address", ["party", "=", party])
        lines = [
            {
                "product": self.goods[name],
                "quantity": float(quantity),
                "unit": self.unit,
                "unit_price": exact(10),
            }
            for name, quantity in wanted.items()
        ]
        sale = self.erp.make(
            "sale.sale",
            party=party,
            invoice_address=address,
            shipment_address=address,
            invoice_method="manual",
            lines=[["create", lines]],
        )
        self.erp("sale.sale.quote", [sale])
        [row] = self.erp.read("sale.sale", ["id", "=", sale], fields=["number"])
        return str(row["number"])

    def report_changes(self):
        """Say what has become of sales since the last report."""
        fields = ("number", "state", "comment")
        rows = self.erp.read("sale.sale", fields=fields, order=("id", "DESC"), limit=50)
        for row in reversed(rows):
            now = (row["state"], row["comment"])
            if self.seen.get(row["id"]) != now and row["state"] == "processing":
                say(f"  sale {row['number']} is confirmed, and its shipment is being prepared")
            if self.seen.get(row["id"]) != now and row["state"] == "quotation" and row["comment"]:
                say(f"  sale {row['number']} is held: {row['comment']}")
            self.seen[row["id"]] = now

    def take_in_goods(self, name: str, quantity: int) -> str | None:
        """Goods come in; of the sales that wait for them, the one that was written the longest time ago
        loses its remark, so that it is looked at again. Returns its number.
        """
        store = self.erp.the("stock.location", ["code", "=", "STO"])
        self.erp.context["locations"] = [store]
        [product] = self.erp.read(
            "product.product", ["id", "=", self.goods[name]], fields=["quantity"]
        )
        del self.erp.context["locations"]
        counted = {"product": product["id"], "quantity": product["quantity"] + quantity}
        inventory = self.erp.make(
            "stock.inventory",
            location=store,
            company=self.erp.context["company"],
            lines=[["create", [counted]]],
        )
        self.erp("stock.inventory.confirm", [inventory])
        waiting = self.erp.read(
            "sale.sale",
            ["state", "=", "quotation"],
            ["comment", "like", f"%{name}%"],
            fields=["number"],
            order=("write_date", "ASC"),
            limit=1,
        )
        for row in waiting:
            self.erp("sale.sale.write", [row["id"]], {"comment": None})
        return waiting[0]["number"] if waiting else None


def work_until_ended(clerk, pause, acts):
    rng = random.Random(1)
    while True:
        if acts > 0:
            acts -= 1
            act = rng.choices([quote, take_in_goods], [3, 1])[0]
            try:
                act(clerk, rng)
            except ErpRefused as error:
                say(f"the ERP says no: {error}")
        time.sleep(pause)
        clerk.report_changes()


def quote(clerk, rng):
    customer, names = rng.choice(CUSTOMERS), rng.sample(sorted(STOCK), rng.randint(1, 2))
    wanted = {name: rng.choice([1, 2, 3, 5, 8, 13, 30]) for name in names}
    number = clerk.quote(customer, **wanted)
    goods = ", ".join(f"{quantity} {name}" for name, quantity in wanted.items())
    say(f"quotation {number} of {customer}: {goods}")


def take_in_goods(clerk, rng):
    name, quantity = rng.choice(sorted(STOCK)), rng.randint(20, 50)
    sale = clerk.take_in_goods(name, quantity)
    again = f"sale {sale} is to be looked at again" if sale else "nobody waits for that"
    say(f"{quantity} {name} came in; {again}")


if __name__ == "__main__":
    work_until_ended(
        Clerk(sys.argv[1], os.environ["PASSWORD"]), float(sys.argv[2]), int(sys.argv[3])
    )
