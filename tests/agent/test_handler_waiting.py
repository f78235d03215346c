"""What an agent reports while one of its events waits."""

from __future__ import annotations

from itertools import groupby

import pytest

from bridge import Agent, Event
from bridge.agent import Context
from bridge.model.errors import RetryLater
from bridge.observe import Handled, Notice, PartState
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import ErpHarness
from tests.waiting import until


@pytest.mark.parametrize("action", ["decode", "handle"])
async def test_what_an_agent_waits_for_is_told_and_so_is_its_end(
    here: ErpHarness, action: str
) -> None:
    """It was tried again and again without a word."""
    away = True
    agent = Agent("credit-watch")

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        if action == "handle" and away:
            raise RetryLater("the carrier's service is away")

    class AwayRegistry:
        async def schema(self, schema_id: int) -> str:
            if action == "decode" and away:
                raise RetryLater("registry http://registry is away")
            return await here.registry.schema(schema_id)

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    notices: list[Notice] = []

    def states() -> list[tuple[str, str]]:
        pairs = [(n.state, n.reason) for n in notices if isinstance(n, PartState)]
        return [pair for pair, _ in groupby(pairs)]

    async with running(here, agent, notices, AwayRegistry()):
        await until(states)
        away = False
        await until(lambda: len(states()) > 1)
    [(first, reason), second] = states()
    assert first == "retrying"
    assert "away" in reason
    assert second == ("running", "")


async def test_an_agent_waits_for_as_long_as_one_of_its_events_does(here: ErpHarness) -> None:
    """Each other event that failed once and was done said that the agent runs again."""
    away = True
    agent = Agent("credit-watch")
    failed: set[str] = set()

    @agent.on("erp.sales_order")
    async def check(event: Event, ctx: Context) -> None:
        order_no = event.after.order_no
        if order_no == "1" and away:
            raise RetryLater("the carrier's service is away")
        if order_no != "1" and order_no not in failed:
            failed.add(order_no)
            raise ValueError("once")

    notices: list[Notice] = []

    def states() -> list[str]:
        return [state for state, _ in groupby(n.state for n in notices if isinstance(n, PartState))]

    def done() -> int:
        return sum(isinstance(n, Handled) and n.outcome == "done" for n in notices)

    await here.publish("sales_order", 1, [here.order(1, 1, 5)])
    async with running(here, agent, notices):
        await until(states)
        await here.publish("sales_order", 1, [here.order(n, 1, 5) for n in range(2, 6)])
        await until(lambda: done() == 4)
        assert states() == ["retrying"]
        away = False
        await until(lambda: len(states()) > 1)
    assert states() == ["retrying", "running"]
