"""A company that can sell: what an accountant and a storekeeper would enter by hand, once."""

from examples.tryton.rpc import exact

CUSTOMERS = ("Brown & Co", "Nováková s.r.o.", "Östergård AB")
STOCK = {"table": 20, "chair": 60, "lamp": 12, "shelf": 8}
FIRST = (
    ("Brown & Co", {"table": 2, "chair": 8}),
    ("Nováková s.r.o.", {"lamp": 40}),
    ("Östergård AB", {"shelf": 3}),
)


def enter(rpc, password):
    """Fill an empty database; `rpc` is its administrator's."""
    euro = rpc.make(
        "currency.currency", name="Euro", code="EUR", symbol="€", rounding=exact("0.01"), digits=2
    )
    owner = rpc.make("party.party", name="The Company")
    company = rpc.make("company.company", party=owner, currency=euro)
    works_here = {"companies": [["add", [company]]], "company": company}
    rpc("res.user.write", [rpc.user], works_here)
    rpc.context["company"] = company
    groups = {"Sales": rpc.the("res.group", ["name", "=", "Sales"])}
    groups["Stock"] = rpc.the("res.group", ["name", "=", "Stock"])
    for login, names in (("bridge", ["Sales"]), ("clerk", ["Sales", "Stock"])):
        mine = {"groups": [["add", [groups[name] for name in names]]]}
        rpc.make("res.user", name=login, login=login, password=password, **works_here, **mine)
    for name in CUSTOMERS:
        rpc.make("party.party", name=name, addresses=[["create", [{"city": "Town"}]]])
    lines = [{"product": product(rpc, name), "quantity": STOCK[name]} for name in STOCK]
    store = rpc.the("stock.location", ["code", "=", "STO"])
    count = rpc.make("stock.inventory", location=store, company=company, lines=[["create", lines]])
    rpc("stock.inventory.confirm", [count])


def product(rpc, name):
    unit = rpc.the("product.uom", ["name", "=", "Unit"])
    template = rpc.make(
        "product.template",
        name=name,
        type="goods",
        default_uom=unit,
        sale_uom=unit,
        salable=True,
        list_price=exact(10),
        products=[["create", [{}]]],
    )
    return rpc.the("product.product", ["template", "=", template])
