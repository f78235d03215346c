"""A module of the ERP with the connector suite's table, and one with a field of every type.

It is copied into the ERP's own environment and loaded by the ERP alone.
"""

import time
from collections.abc import Sequence
from typing import Any

from trytond.model import ModelSQL, ModelView, fields  # type: ignore[import-not-found]
from trytond.pool import Pool  # type: ignore[import-not-found]
from trytond.rpc import RPC  # type: ignore[import-not-found]


class Order(ModelSQL, ModelView):  # type: ignore[misc]
    __name__ = "kit.order"

    order_no = fields.Char("Number", required=True, strip=False)
    customer = fields.Char("Customer", strip=False)
    qty = fields.Integer("Quantity")
    price = fields.Numeric("Price", digits=(13, 2))

    @classmethod
    def __setup__(cls) -> None:
        super().__setup__()
        cls.__rpc__["together"] = RPC(readonly=False)

    @classmethod
    def together(cls, steps: Sequence[Any]) -> list[list[int]]:
        """Work upon any models in one transaction, as imports do: `[model, method, records or
        values, ...]`, or a number of seconds to wait. Returns the ids of what each step made.
        """
        ids = []
        for step in steps:
            if isinstance(step, (int, float)):
                time.sleep(step)
                continue
            name, method, first, *more = step
            model = Pool().get(name)
            records = getattr(model, method)(
                first if method == "create" else model.browse(first), *more
            )
            ids.append([record.id for record in records] if method == "create" else [])
        return ids


class Typed(ModelSQL, ModelView):  # type: ignore[misc]
    __name__ = "kit.typed"

    boolean = fields.Boolean("Boolean")
    integer = fields.Integer("Integer")
    char = fields.Char("Char", strip=False)
    text = fields.Text("Text", strip=False)
    float = fields.Float("Float")
    numeric = fields.Numeric("Numeric")
    money = fields.Numeric("Money", digits=(14, 2))
    date = fields.Date("Date")
    datetime = fields.DateTime("Datetime", format="%H:%M:%S")
    stamp = fields.Timestamp("Timestamp")
    time = fields.Time("Time")
    delta = fields.TimeDelta("Timedelta")
    choice = fields.Selection([(None, ""), ("a", "A"), ("b", "B")], "Selection")
    choices = fields.MultiSelection([("a", "A"), ("b", "B")], "Multi-selection")
    binary = fields.Binary("Binary")
    dictionary = fields.Dict(None, "Dictionary")
    reference = fields.Reference("Reference", [(None, ""), ("kit.order", "Order")])
    order = fields.Many2One("kit.order", "Order")
    orders = fields.Many2Many("kit.typed-kit.order", "typed", "order", "Orders")
    computed = fields.Function(fields.Char("Computed"), "get_computed")

    def get_computed(self, name: str) -> str:
        """A function field without a searcher."""
        return f"{name} of {self.id}"


class Types(ModelSQL, ModelView):  # type: ignore[misc]
    """The connector suite's table of types: a column each, named by its number."""

    __name__ = "kit_types"

    c0 = fields.Boolean("Boolean")
    c1 = fields.Integer("Integer")
    c2 = fields.Integer("Integer")
    c3 = fields.Char("Char", strip=False)
    c4 = fields.Text("Text", strip=False)
    c5 = fields.Float("Float")
    c6 = fields.Numeric("Numeric")
    c7 = fields.Numeric("Money", digits=(14, 2))
    c8 = fields.Date("Date")
    c9 = fields.DateTime("Datetime", format="%H:%M:%S")
    c10 = fields.Timestamp("Timestamp")
    c11 = fields.Time("Time")
    c12 = fields.TimeDelta("Timedelta")
    c13 = fields.Selection([(None, ""), ("a", "A"), ("b", "B")], "Selection")
    c14 = fields.MultiSelection([("a", "A"), ("b", "B")], "Multi-selection")
    c15 = fields.Binary("Binary")
    c16 = fields.Dict(None, "Dictionary")
    c17 = fields.Reference("Reference", [(None, ""), ("res.user", "User")])
    c18 = fields.Many2One("res.user", "User")
    c19 = fields.FullText("Full text")


class Switched(ModelSQL, ModelView):  # type: ignore[misc]
    """Rows that can be put out of use, and a parent that takes its rows along."""

    __name__ = "kit.switched"

    name = fields.Char("Name", required=True)
    active = fields.Boolean("Active")
    order = fields.Many2One("kit.order", "Order", ondelete="CASCADE")

    @classmethod
    def default_active(cls) -> bool:
        """In use."""
        return True


class TypedOrder(ModelSQL):  # type: ignore[misc]
    __name__ = "kit.typed-kit.order"

    typed = fields.Many2One("kit.typed", "Typed", required=True, ondelete="CASCADE")
    order = fields.Many2One("kit.order", "Order", required=True, ondelete="CASCADE")


def register() -> None:
    """As the ERP asks of each module."""
    Pool.register(Order, Typed, Types, Switched, TypedOrder, module="kit", type_="model")
