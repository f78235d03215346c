"""The example of Tryton as a user runs it: its two commands, on the whole ERP."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from examples.tryton import company, start
from examples.tryton.rpc import ErpRpc
from examples.tryton.users import Clerk
from tests.examples.example import Example, copied
from tests.services.errors import ServerUnavailable
from tests.services.install import cache

PORT = 8000
NAMES = tuple(company.STOCK)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.tryton]


class TrytonErp:
    """A look into the ERP, past the bridge, by another user."""

    def __init__(self, example: Example) -> None:
        url = f"http://127.0.0.1:{example.port}/erp/"
        self.clerk = Clerk(url, example.password)
        self._admin = ErpRpc(url, "admin", example.password)
        self._admin.context["company"] = self._admin.the("company.company")

    def close(self) -> None:
        self.clerk.erp.http.close()
        self._admin.http.close()

    def rows(self, model: str, *fields: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._admin.read(model, fields=fields)
        return rows

    def sales(self) -> dict[str, tuple[str, str | None]]:
        """By number: the state and the remark."""
        rows = self.rows("sale.sale", "number", "state", "comment")
        return {row["number"]: (row["state"], row["comment"]) for row in rows}

    def state(self, number: str) -> str:
        return self.sales()[number][0]

    def available(self) -> dict[str, float]:
        store = self._admin.the("stock.location", ["code", "=", "STO"])
        self._admin.context["locations"] = [store]
        rows = self.rows("product.product", "rec_name", "forecast_quantity")
        del self._admin.context["locations"]
        return {row["rec_name"]: row["forecast_quantity"] for row in rows}


def example(folder: Path) -> Example:
    if not (cache() / start.name()).is_dir():
        raise ServerUnavailable("the example's Tryton is not installed: run `make services`")
    return copied("tryton", PORT, folder)


def test_a_sale_whose_goods_are_available_is_confirmed_and_any_other_gets_a_remark_once(
    tmp_path: Path,
) -> None:
    here = example(tmp_path)
    with here.started("--acts", "0", "--pause", "1"):
        erp = TrytonErp(here)
        with here.running():
            here.wait(lambda: erp.state("1") == erp.state("3") == "processing")
            here.wait(lambda: erp.sales()["2"][1] is not None)
            fourth = erp.clerk.quote("Brown & Co", chair=30)
            here.wait(lambda: erp.state(fourth) == "processing")
            fifth = erp.clerk.quote("Östergård AB", chair=30, table=1)
            here.wait(lambda: erp.sales()[fifth][1] is not None)
        held = ("quotation", "30 chair wanted, 22 available")
        assert erp.sales() == {
            "1": ("processing", None),
            "2": ("quotation", "40 lamp wanted, 12 available"),
            "3": ("processing", None),
            fourth: ("processing", None),
            fifth: held,
        }
        # While the bridge is away goods come in, and who waits for them is to be looked at again.
        assert erp.clerk.take_in_goods("chair", 8) == fifth
        with here.running():
            here.wait(lambda: erp.state(fifth) == "processing")
            here.wait(lambda: f"sale {fifth} is confirmed" in here.output)
        assert erp.available() == {"table": 17, "chair": 0, "lamp": 12, "shelf": 5}
        # Each confirmation led to one shipment, and each remark was made once.
        assert len(erp.rows("stock.shipment.out", "number")) == 4
        erp.close()
    done = here.call("commands", "--json").rows
    assert Counter((row["name"], row["state"]) for row in done) == {
        ("erp.confirm_sale", "succeeded"): 4,
        ("erp.hold_sale", "succeeded"): 2,
    }


def test_goods_are_promised_once_a_sale_though_the_bridge_is_killed_among_its_users(
    tmp_path: Path,
) -> None:
    here = example(tmp_path)
    with here.started("--acts", "14", "--pause", "0.3"):
        erp = TrytonErp(here)
        with here.running() as bridge:
            here.wait(lambda: sum(row[0] == "processing" for row in erp.sales().values()) > 2)
            bridge.send_signal(signal.SIGKILL)
        with here.running():
            here.wait(lambda: len(re.findall(r"quotation \d+ of|came in", here.output)) == 14)
            here.wait(
                lambda: all(state == "processing" or why for state, why in erp.sales().values())
            )
        confirmed = [number for number, (state, _) in erp.sales().items() if state == "processing"]
        assert len(erp.rows("stock.shipment.out", "number")) == len(confirmed)
        expected = Counter(company.STOCK)
        for quantity, name in re.findall(r"(\d+) (\w+) came in", here.output):
            expected[name] += int(quantity)
        numbers = {row["id"]: row["number"] for row in erp.rows("sale.sale", "number")}
        names = {row["id"]: row["rec_name"] for row in erp.rows("product.product", "rec_name")}
        for line in erp.rows("sale.line", "sale", "product", "quantity"):
            if numbers[line["sale"]] in confirmed:
                expected[names[line["product"]]] -= line["quantity"]
        assert erp.available() == {name: expected[name] for name in NAMES}
        erp.close()
