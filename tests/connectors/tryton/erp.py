"""Systems over the ERP of tests, its entities, a gateway to them, and sales to work upon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

from bridge.connector import System, TableUse
from bridge.gateway import Gateway
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import Relation
from bridge.observe import Notice
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.tls import TlsFiles
from connectors.tryton.connector import connector
from connectors.tryton.options import TrytonOptions
from connectors.tryton.reader import TrytonReader
from tests.services.tryton import Tryton

USES = (
    TableUse("sale.sale", (), ("id", "number", "reference", "party", "state", "comment")),
    TableUse("sale.line", (), ("id", "sale", "product", "quantity", "unit_price")),
    TableUse("product.product", (), ("id", "code", "template")),
    TableUse("party.party", (), ("id", "code", "name")),
)
SPECS = (
    EntitySpec(
        "erp",
        "sale",
        "sale.sale",
        relations=(
            Relation("lines", "line", by="sale"),
            Relation("customer", "party", from_field="party"),
        ),
    ),
    EntitySpec(
        "erp",
        "line",
        "sale.line",
        relations=(Relation("product", "product", from_field="product"),),
    ),
    EntitySpec("erp", "product", "product.product"),
    EntitySpec("erp", "party", "party.party"),
)
_numbers = count(1)


def system(
    url: str,
    *,
    options: Mapping[str, Any] | None = None,
    tables: Sequence[TableUse] = USES,
    login: Any = None,
    tls: TlsFiles | None = None,
) -> System:
    """A system as the configuration would have it."""
    scheme, _, rest = url.partition("://")
    shown_url = f"{scheme}://{rest.rpartition('@')[2]}"
    validated_options = TrytonOptions.model_validate(options or {})
    return System(
        "acme", "erp", url, shown_url, validated_options, tuple(tables), 4, login=login, tls=tls
    )


async def tables(of: System) -> dict[str, EntityTable]:
    """The entities over their models, as wiring makes them."""
    shapes = await connector.describe(of)
    return {
        spec.name: EntityTable(spec, entity_type(spec, shapes[spec.table]), shapes[spec.table])
        for spec in SPECS
    }


@asynccontextmanager
async def gateway(of: System, observer: Callable[[Notice], None]) -> AsyncIterator[Gateway]:
    """A gateway with a reader of its own, which has asked for nothing yet."""
    entity_tables = await tables(of)
    erp_gateway = Gateway("erp", TrytonReader(of), entity_tables, SystemLimits(), observer=observer)
    try:
        yield erp_gateway
    finally:
        await erp_gateway.close()


class ErpUser:
    """What the ERP's users do by hand. Tests share the ERP: look for your own references only."""

    def __init__(self, tryton: Tryton) -> None:
        self.rpc = tryton.rpc
        parties = self.rpc.search("party.party", ["code", "in", ["C1", "C2", "C3"]])
        addresses = self.rpc.call(
            "model.party.address.search_read",
            [["party", "in", parties]],
            *(0, None, None, ["party"]),
        )
        self.customers = [(address["party"], address["id"]) for address in addresses]
        self.products = self.rpc.search("product.product", ["template.code", "in", ["P1", "P2"]])
        self.unit = self.rpc.the("product.uom", ["name", "=", "Unit"])

    def reference(self) -> str:
        """One that no other sale has."""
        return f"T{next(_numbers)}"

    def sale(self, lines: int = 1, customer: int = 0) -> dict[str, Any]:
        """The values of a new sale that can be quoted."""
        party, address = self.customers[customer % len(self.customers)]
        line_values = [
            {
                "product": self.products[number % len(self.products)],
                "quantity": float(number + 1),
                "unit": self.unit,
                "unit_price": Decimal(10),
            }
            for number in range(lines)
        ]
        return {
            "party": party,
            "invoice_address": address,
            "shipment_address": address,
            "reference": self.reference(),
            "lines": [["create", line_values]],
        }

    def sell(self, *buttons: str) -> int:
        """A new sale, with these buttons pressed."""
        key = self.rpc.create("sale.sale", self.sale())
        for button in buttons:
            self.rpc.call(f"model.sale.sale.{button}", [key])
        return key

    def fill(self, sales: int, lines: int) -> list[int]:
        """Many sales at once."""
        values = [self.sale(lines, number) for number in range(sales)]
        keys: list[int] = []
        for start in range(0, sales, 100):
            keys += self.rpc.call("model.sale.sale.create", values[start : start + 100])
        return keys

    def row(self, key: int, *fields: str, model: str = "sale.sale") -> dict[str, Any]:
        """A row as it is now."""
        return self.rpc.read(model, [key], *fields)[0]

    def referring(self, reference: str) -> list[int]:
        """The sales with this reference."""
        return self.rpc.search("sale.sale", ["reference", "=", reference])

    def arrival(self) -> int:
        """A move of goods that comes in the future, of which the ERP warns when it is done."""
        locations = {
            code: self.rpc.the("stock.location", ["code", "=", code]) for code in ("SUP", "STO")
        }
        return self.rpc.create(
            "stock.move",
            {
                "product": self.products[0],
                "quantity": 1.0,
                "unit": self.unit,
                "from_location": locations["SUP"],
                "to_location": locations["STO"],
                "unit_price": Decimal(1),
                "currency": self.rpc.the("currency.currency"),
                "effective_date": {"__class__": "date", "year": 2100, "month": 1, "day": 1},
            },
        )
