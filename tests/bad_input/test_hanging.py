"""ERPs that take a request and never answer: the bridge ends all the same, within five seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bad_input.guarded_bridge import GuardedBridge, GuardedRun
from tests.bad_input.service import service
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import HANG, ForwardedRequest, HttpProxy, standing
from tests.services.cap import Cap
from tests.services.tryton import PASSWORD, Tryton
from tests.waiting import STOP_TIMEOUT_S, wait_until

AGENT = """\
from bridge import Agent

agent = Agent("reader")


@agent.on("erp.customer")
async def read(event, ctx):
    await ctx.get("erp.customer", event.key, fresh=True)
"""
TRYTON = """\
system: erp
connector: tryton
url: {url}
capture: {{poll: 0.2, overlap: 2, timeout: 60, in_doubt_timeout: 60}}
entities:
  customer:
    from: kit.order
    fields: {{id: id, name: customer, number: order_no}}
commands:
  rename_customer:
    entity: customer
    args: {{name: {{type: string}}}}
    run: "WRITE kit.order(:key) customer=:name"
    tier: outside_the_loop
"""


@dataclass
class HangingErp:
    """`key` of a customer that there is."""

    bridge: GuardedBridge
    between: HttpProxy
    key: str

    @contextmanager
    def running(self) -> Iterator[GuardedRun]:
        """The bridge, with an agent; it has read and written something of the ERP."""
        (self.bridge.folder / "reader.py").write_text(AGENT)
        bridge = self.bridge.folder / "bridge.yaml"
        bridge.write_text(bridge.read_text() + "agents: [reader.py]\n")
        with self.bridge.running() as run:
            wait_until(lambda: self.bridge.events("customer"), describe=lambda: run.text)
            self.rename("Bob", "--wait", "60")
            wait_until(
                lambda: [name for _, name in self.bridge.changes("customer")],
                describe=lambda: run.text,
            )
            yield run

    def rename(self, name: str, *more: str) -> None:
        words = ("commands", "send", "erp.rename_customer", "--key", self.key)
        answer = self.bridge.call(*words, "--arg", f"name={name}", *more)
        assert answer.code == 0, answer


@pytest.fixture(params=[pytest.param("odata", marks=pytest.mark.cap), "tryton"])
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HangingErp]:
    folder = tmp_path / "bridge"
    if request.param == "odata":
        cap: Cap = request.getfixturevalue("cap")
        with service(folder, cap) as odata_service:
            odata_service.edit(**{"in_doubt_timeout: 2": "in_doubt_timeout: 60"})
            odata_service.put("Customers", "C1", name="Ann")
            yield HangingErp(odata_service.bridge, odata_service.between, "C1")
        return
    tryton: Tryton = request.getfixturevalue("tryton")
    key = tryton.rpc.create("kit.order", {"order_no": "x", "customer": "Ann"})
    (folder / "systems").mkdir(parents=True)
    (folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///bridge.db\n")
    bridge = GuardedBridge(folder, {"ERP_PASSWORD": PASSWORD})
    with standing(HttpProxy(tryton.address)) as between:
        url = between.url(tryton.url_of(capturer(tryton), "${env:ERP_PASSWORD}"))
        (folder / "systems" / "erp.yaml").write_text(TRYTON.format(url=url))
        yield HangingErp(bridge, between, str(key))


def hanging(what: Callable[[ForwardedRequest], bool]) -> Callable[[ForwardedRequest], str | None]:
    return lambda request: HANG if what(request) else None


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("command", [False, True], ids=["a poll", "a command"])
def test_ctrl_c_ends_the_bridge_within_five_seconds(erp: HangingErp, command: bool) -> None:
    with erp.running() as run:
        erp.between.rule = hanging(lambda _: True)
        before = len(erp.between.requests)
        wait_until(lambda: len(erp.between.requests) > before, describe=lambda: "nothing is asked")
        if command:
            before = len(erp.between.requests)
            erp.rename("Eve")
            wait_until(
                lambda: len(erp.between.requests) > before, describe=lambda: "no command is sent"
            )
        run.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert run.ends() == 0
        assert time.monotonic() - began < STOP_TIMEOUT_S
        erp.between.rule = hanging(lambda _: False)
