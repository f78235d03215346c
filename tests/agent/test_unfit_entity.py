"""A handler that reads, or sends a command for, an entity that doesn't fit its table (any more)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import Agent, Command, Event
from bridge.agent import Context
from bridge.model.errors import UNAVAILABLE, Rejected
from bridge.model.specs import CommandSpec
from bridge.observe import DeadLetterWritten, Handled, HandlerWaits, Notice
from bridge.plan.entity_table import EntityTable
from bridge.wiring.declared_commands import DeclaredCommands
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import ErpHarness
from tests.waiting import until

RENAMED = Rejected(UNAVAILABLE, "there is no table 'vbak'")


@pytest.mark.parametrize("what", ["get", "get_many", "related", "query", "command"])
async def test_it_waits_and_parks_no_event(here: ErpHarness, what: str) -> None:
    """A table that was renamed for an hour made a dead letter of each event of that hour."""
    is_lacking = True

    async def answer(*_request: Any) -> Any:
        if is_lacking:
            raise RENAMED
        return {} if what == "get" else []

    class AnyRead:
        get = get_many = related = query = staticmethod(answer)

    class Entities(dict[str, EntityTable]):
        def __getitem__(self, name: str) -> EntityTable:
            if is_lacking:
                raise RENAMED
            return here.tables[name]

    spec = CommandSpec("erp", "block_order", "sales_order", "update vbak set lifsk = '01'")
    declared = DeclaredCommands({"erp.block_order": spec}, {"erp": Entities()})
    agent = Agent("credit-watch", on_failure="stop")

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> Command | None:
        if what == "command":
            return Command("erp.block_order", key=event.key, args={})
        if what == "related":
            await ctx.related(event.after, "lines")
        elif what == "query":
            await ctx.query("erp.customer", {"customer_id": "1"}, limit=1)
        elif what == "get_many":
            await ctx.get_many("erp.customer", ["1"])
        else:
            await ctx.get("erp.customer", "1")
        return None

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    notices: list[Notice] = []

    def outcomes() -> list[str]:
        return [notice.outcome for notice in notices if isinstance(notice, Handled)]

    async with running(here, agent, notices, reads=AnyRead(), commands=declared):
        await until(lambda: outcomes().count("retry") > agent.attempts)
        wait = [notice for notice in notices if isinstance(notice, HandlerWaits)][-1]
        assert wait.events == 1
        assert str(RENAMED) in wait.reason
        is_lacking = False
        await until(lambda: "done" in outcomes())
    assert set(outcomes()) == {"retry", "done"}
    assert not [notice for notice in notices if isinstance(notice, DeadLetterWritten)]
