"""The example of OData as a user runs it: its two commands, on SAP CAP."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.odata import start
from tests.examples.example import Example, copied
from tests.services.errors import ServerUnavailable
from tests.services.install import cache

PORT = 4004
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.cap]


class ODataErp:
    """A look into the ERP, past the bridge."""

    def __init__(self, example: Example) -> None:
        self._url = f"http://127.0.0.1:{example.port}/odata/v4/erp/"
        self._auth = ("bridge", example.password)

    def get(self, path: str) -> list[dict[str, Any]]:
        answer = httpx.get(self._url + path, auth=self._auth, trust_env=False, timeout=30)
        rows: list[dict[str, Any]] = answer.raise_for_status().json()["value"]
        return rows

    def post(self, path: str, **values: Any) -> None:
        httpx.post(
            self._url + path,
            json=values,
            headers={"If-Match": "*"},
            auth=self._auth,
            trust_env=False,
            timeout=30,
        ).raise_for_status()

    def enter(self, product: str, *quantities: int) -> None:
        lines = [
            {"position": at, "product_ID": product, "quantity": quantity}
            for at, quantity in enumerate(quantities, start=1)
        ]
        self.post("Orders", customer_ID="C1", lines=lines)

    def states(self) -> dict[str, tuple[str, int, str | None]]:
        """By order: its status, the letters that were sent, and its note."""
        rows = self.get("Orders")
        return {row["number"]: (row["status"], row["letters"], row["note"]) for row in rows}

    def stock(self) -> dict[str, int]:
        return {row["name"]: row["stock"] for row in self.get("Products")}


def example(folder: Path) -> Example:
    # `make services` installs what the tests' own ERP is made of: the same versions.
    if not (cache() / start.name()).is_dir():
        raise ServerUnavailable("the example's SAP CAP is not installed: run `make services`")
    return copied("odata", PORT, folder)


def test_an_order_whose_goods_are_in_stock_is_confirmed_and_any_other_is_held_once(
    tmp_path: Path,
) -> None:
    here = example(tmp_path)
    with here.started("--acts", "0", "--pause", "1"):
        erp = ODataErp(here)
        with here.running():
            here.wait(lambda: erp.states()["1002"][0] == "H" and erp.states()["1003"][0] == "C")
            here.wait(lambda: erp.states()["1001"][0] == "C")
            erp.enter("P2", 10, 20)
            here.wait(lambda: erp.states()["1004"][0] == "C")
            erp.enter("P2", 10, 20)
            here.wait(lambda: erp.states()["1005"][0] == "H")
        held = ("H", 0, "30 chair wanted, 22 in stock")
        assert erp.states() == {
            "1001": ("C", 1, None),
            "1002": ("H", 0, "40 lamp wanted, 12 in stock"),
            "1003": ("C", 1, None),
            "1004": ("C", 1, None),
            "1005": held,
        }
        # While the bridge is away goods come in, and the order is opened again.
        erp.post("deliver", product="P2", quantity=8)
        erp.post("Orders('1005')/reopen")
        with here.running():
            here.wait(lambda: erp.states()["1005"] == ("C", 1, None))
            here.wait(lambda: "order 1005 is confirmed, letters sent: 1" in here.output)
            # The change that the command caused has come back, and nobody acts on it.
            here.wait(lambda: _last(here, "1005")["status"] == "confirmed")
        assert erp.stock() == {"table": 18, "chair": 0, "lamp": 12, "shelf": 5}
        left = erp.states()
    with here.started("--acts", "0"):
        assert erp.states() == left
    done = here.call("commands", "--json").rows
    assert Counter((row["name"], row["state"]) for row in done) == {
        ("erp.confirm_order", "succeeded"): 4,
        ("erp.hold_order", "succeeded"): 2,
    }


def test_goods_leave_the_stock_once_an_order_though_the_bridge_is_killed_among_its_users(
    tmp_path: Path,
) -> None:
    here = example(tmp_path)
    with here.started("--acts", "18", "--pause", "0.3"):
        erp = ODataErp(here)
        before = Counter({"table": 20, "chair": 60, "lamp": 12, "shelf": 8})
        # Of the others all may be delivered, if enough goods come in before they are looked at.
        erp.enter("P2", 5_000)
        with here.running() as bridge:
            here.wait(lambda: sum(name[0] == "C" for name in erp.states().values()) > 3)
            bridge.send_signal(signal.SIGKILL)
        with here.running():
            here.wait(lambda: _entered(here) + _deliveries(here)[0] == 18)
            here.wait(lambda: _decided(here, erp))
        _, delivered = _deliveries(here)
        names = {row["ID"]: row["name"] for row in erp.get("Products")}
        states, taken = erp.states(), Counter[str]()
        for line in erp.get("Lines?$top=1000"):
            if states[line["order_number"]][0] == "C":
                taken[names[line["product_ID"]]] += line["quantity"]
        assert {name: before[name] + delivered[name] - taken[name] for name in names.values()} == (
            erp.stock()
        )
    assert all(letters == (status == "C") for status, letters, _ in states.values())
    assert {status for status, _, _ in states.values()} >= {"C", "H"}


def _last(here: Example, order: str) -> dict[str, Any]:
    rows = here.call("tail", "sales_order", "--key", order, "--no-follow", "--json").rows
    row: dict[str, Any] = rows[-1]["after"]
    return row


def _entered(here: Example) -> int:
    return len(re.findall(r"order \d+ of ", here.output))


def _deliveries(here: Example) -> tuple[int, Counter[str]]:
    deliveries = re.findall(r"(\d+) (\w+) came in", here.output)
    goods = Counter[str]()
    for quantity, name in deliveries:
        goods[name] += int(quantity)
    return len(deliveries), goods


def _decided(here: Example, erp: ODataErp) -> bool:
    """No order is open, but those whose goods went to another one at the last moment."""
    refused = {
        str(row["key"]["order_no"])
        for row in here.call("commands", "--json").rows
        if row["state"] == "failed"
    }
    return all(
        status != "O" or number in refused for number, (status, _, _) in erp.states().items()
    )
