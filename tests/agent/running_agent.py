"""An agent that runs in the test's own process, against the harness' ERP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.retry_policy import Backoff
from bridge.agent.runner import AgentRunner
from bridge.gateway import Gateway, Gateways
from bridge.model.specs import SystemLimits
from bridge.observe import Notice
from bridge.wiring.registry_events import RegistryEventDecoder
from connectors.journal import connector
from tests.agent.sqlite_erp import ErpHarness, FakeCommandTargets
from tests.waiting import ended

TOPIC = "acme.erp.sales_order"
QUICK = Backoff(0.001, 0.01)


@asynccontextmanager
async def running(
    here: ErpHarness,
    agent: Agent,
    notices: list[Notice] | None = None,
    registry: Any = None,
    *,
    session_timeout: float = 10.0,
    reads: Any = None,
    commands: Any = None,
) -> AsyncIterator[asyncio.Task[None]]:
    observer = (notices if notices is not None else []).append
    gateway = Gateway(
        "erp", await connector.reader(here.system), here.tables, SystemLimits(), observer=observer
    )
    runner = AgentRunner(
        agent,
        bridge=here.bridge,
        log=here.log,
        codec=here.codec,
        events=RegistryEventDecoder(registry or here.registry, {}),
        reads=reads or Gateways({"erp": gateway}),
        commands=commands or FakeCommandTargets(),
        observer=observer,
        backoff=QUICK,
        session_timeout=session_timeout,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield task
    finally:
        await ended(task, stop)
        await gateway.close()


def watcher() -> Agent:
    agent = Agent("credit-watch", version="1")

    @agent.on("erp.sales_order", ops={"create", "update"})
    async def check(event: Event, ctx: Context) -> Command | None:
        order = event.after
        customer = await ctx.get("erp.customer", order.customer_id)
        if customer.exposure + order.total > customer.credit_limit:
            return Command(
                "erp.block_order",
                key=event.key,
                args={"reason": "credit limit"},
                expect=event.version,
            )
        return None

    return agent
