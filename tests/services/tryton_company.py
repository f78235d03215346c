"""What the ERP needs before it can sell: a company with its currency, accounts and stock.

`prepare` fills an empty database, as an accountant and a storekeeper would by hand.
"""

from decimal import Decimal

from tests.secret_scan import secret
from tests.services.tryton_rpc import TrytonRpc

CLERK, OUTSIDER = "clerk", "outsider"
PASSWORD = secret("tryton")
STOCK = 10_000
PRODUCTS = ("table", "chair", "lamp")
CUSTOMERS = ("Brown & Co", "Nováková s.r.o.", "Östergård AB")


def prepare(rpc: TrytonRpc) -> None:
    """Company, currency, users, chart of accounts, products with stock, customers."""
    _company(rpc)
    _chart(rpc)
    _users(rpc)
    _products(rpc)
    _customers(rpc)


def _company(rpc: TrytonRpc) -> None:
    currency = rpc.create(
        "currency.currency",
        {
            "name": "Euro",
            "code": "EUR",
            "symbol": "€",
            "rounding": Decimal("0.01"),
            "digits": 2,
            "rates": [["create", [{"date": _date(2000), "rate": Decimal("1.0")}]]],
        },
    )
    party = rpc.create("party.party", {"name": "The Company"})
    company = rpc.create("company.company", {"party": party, "currency": currency})
    rpc.call(
        "model.res.user.write",
        [rpc.user],
        {"companies": [["add", [company]]], "company": company},
    )
    rpc.context["company"] = company


def _chart(rpc: TrytonRpc) -> None:
    company = rpc.context["company"]
    template = rpc.the("account.account.template", ["parent", "=", None])
    session = rpc.call("wizard.account.create_chart.create")[0]

    def step(state: str, data: dict[str, object]) -> None:
        rpc.call("wizard.account.create_chart.execute", session, data, state)

    step("account", {})
    step("create_account", {"account": {"company": company, "account_template": template}})
    accounts = _accounts(rpc)
    properties = {
        "company": company,
        "account_receivable": accounts["receivable"],
        "account_payable": accounts["payable"],
        "category_account_expense": accounts["expense"],
        "category_account_revenue": accounts["revenue"],
    }
    step("create_properties", {"properties": properties})
    rpc.call("wizard.account.create_chart.delete", session)


def _accounts(rpc: TrytonRpc) -> dict[str, int]:
    return {
        kind: rpc.the("account.account", [f"type.{kind}", "=", True], ["closed", "!=", True])
        for kind in ("receivable", "payable", "expense", "revenue")
    }


def _users(rpc: TrytonRpc) -> None:
    """One who sells, and one who may not even see sales."""
    group = rpc.the("res.group", ["name", "=", "Sales"])
    for login, groups in ((CLERK, [group]), (OUTSIDER, [])):
        rpc.create(
            "res.user",
            {
                "name": login.title(),
                "login": login,
                "password": PASSWORD,
                "companies": [["add", [rpc.context["company"]]]],
                "company": rpc.context["company"],
                "groups": [["add", groups]],
            },
        )


def _products(rpc: TrytonRpc) -> None:
    unit = rpc.the("product.uom", ["name", "=", "Unit"])
    accounts = _accounts(rpc)
    category = rpc.create(
        "product.category",
        {
            "name": "Goods",
            "accounting": True,
            "account_expense": accounts["expense"],
            "account_revenue": accounts["revenue"],
        },
    )
    products = []
    for number, name in enumerate(PRODUCTS, 1):
        template = rpc.create(
            "product.template",
            {
                "name": name,
                "code": f"P{number}",
                "type": "goods",
                "default_uom": unit,
                "salable": True,
                "sale_uom": unit,
                "list_price": Decimal(10 * number),
                "account_category": category,
                "products": [["create", [{"suffix_code": name[:1]}]]],
            },
        )
        products.append(rpc.the("product.product", ["template", "=", template]))
    inventory = rpc.create(
        "stock.inventory",
        {
            "location": rpc.the("stock.location", ["code", "=", "STO"]),
            "company": rpc.context["company"],
            "lines": [
                ["create", [{"product": product, "quantity": STOCK} for product in products]]
            ],
        },
    )
    rpc.call("model.stock.inventory.confirm", [inventory])


def _customers(rpc: TrytonRpc) -> None:
    for number, name in enumerate(CUSTOMERS, 1):
        rpc.create(
            "party.party",
            {
                "name": name,
                "code": f"C{number}",
                "addresses": [["create", [{"street": f"Street {number}", "city": "Town"}]]],
            },
        )


def _date(year: int) -> dict[str, object]:
    return {"__class__": "date", "year": year, "month": 1, "day": 1}
