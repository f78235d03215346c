"""Runs an agent of the test's ERP until it is killed; prints a line for each handled event."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.agent.runner import AgentRunner
from bridge.gateway import Gateway, Gateways
from bridge.model.specs import SystemLimits
from bridge.wiring.registry_events import RegistryEventDecoder
from connectors.journal import connector
from tests.agent.sqlite_erp import BRIDGE, FakeCommandTargets, open_erp

agent = Agent("victim", concurrency=20, unfinished=40)


@agent.on("erp.sales_order")
async def fickle(event: Event, ctx: Context) -> Command:
    """Answers otherwise each time, as a language model may."""
    await ctx.get("erp.customer", event.after.customer_id)
    await asyncio.sleep(random.random() / 50)  # noqa: S311 - not for secrets
    sys.stdout.write("handled\n")
    sys.stdout.flush()
    return Command("erp.note_order", key=event.key, args={"reason": str(random.random())})  # noqa: S311


async def main(folder: Path) -> None:
    async with open_erp(folder) as here:
        gateway = Gateway("erp", await connector.reader(here.system), here.tables, SystemLimits())
        runner = AgentRunner(
            agent,
            bridge=BRIDGE,
            log=here.log,
            codec=here.codec,
            events=RegistryEventDecoder(here.registry, {}),
            reads=Gateways({"erp": gateway}),
            commands=FakeCommandTargets(),
            session_timeout=3.0,
        )
        await runner.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
