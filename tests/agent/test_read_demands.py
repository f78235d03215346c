"""The demands of reads through `ctx`: how fresh, by when, and on whose behalf."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge import Agent, Event
from bridge.agent import Context
from bridge.agent.context import BlockingContext
from bridge.model.errors import Rejected
from bridge.model.read_demands import ReadDemands
from tests.agent.test_call import EVENT

DEMANDS = {"max_staleness": 2.0, "after": EVENT.position, "fresh": False, "deadline": 0.5}
METHODS = [
    ("get", ("erp.thing", 1)),
    ("get_many", ("erp.thing", [1])),
    ("related", (EVENT.after, "parts")),
    ("query", ("erp.thing", {"id": 1}, 5)),
]


class RecordingReads:
    """Keeps the demands of every read; the answer is the name of the read."""

    def __init__(self) -> None:
        self.demands: list[ReadDemands] = []

    async def get(self, entity: str, key: Any, demands: ReadDemands) -> str:
        del entity, key
        self.demands.append(demands)
        return "row"

    async def get_many(self, entity: str, keys: Any, demands: ReadDemands) -> list[Any]:
        del entity, keys
        self.demands.append(demands)
        return []

    async def related(self, entity: str, row: Any, relation: str, demands: ReadDemands) -> None:
        del entity, row, relation
        self.demands.append(demands)

    async def query(self, entity: str, where: Any, limit: int, demands: ReadDemands) -> list[Any]:
        del entity, where, limit
        self.demands.append(demands)
        return []


def context(reads: Any) -> Context:
    logger = logging.LoggerAdapter(logging.getLogger("test"), {})
    return Context(
        EVENT, reads, lambda: datetime.now(UTC), logger, handler="on_thing", agent="keeper"
    )


@pytest.mark.parametrize(("method", "arguments"), METHODS)
async def test_every_read_carries_its_demands_and_its_cause(
    method: str, arguments: tuple[Any, ...]
) -> None:
    reads = RecordingReads()
    ctx = context(reads)
    await getattr(ctx, method)(*arguments, **DEMANDS)
    await getattr(ctx, method)(*arguments)
    first, plain = reads.demands
    assert first[:4] == tuple(DEMANDS.values())
    assert plain[:4] == (None, None, False, None)
    cause = plain.cause
    assert cause is not None
    assert cause is first.cause, "one attempt is one cause"
    assert cause[:5] == ("keeper", "on_thing", EVENT.id, "erp", EVENT.position)
    assert cause.transaction == EVENT.transaction


async def test_a_plain_read_makes_no_demands_of_its_own() -> None:
    reads = RecordingReads()
    ctx = context(reads)
    for _ in range(2):
        await ctx.get("erp.thing", 1)
    assert reads.demands[0] is reads.demands[1]
    await context(reads).get("erp.thing", 1)
    assert reads.demands[2].cause is not reads.demands[1].cause


@pytest.mark.parametrize(("method", "arguments"), METHODS)
async def test_a_plain_function_reads_with_the_same_demands(
    method: str, arguments: tuple[Any, ...]
) -> None:
    reads = RecordingReads()
    blocking = BlockingContext(context(reads), asyncio.get_running_loop())
    await asyncio.to_thread(lambda: getattr(blocking, method)(*arguments, **DEMANDS))
    assert reads.demands[0][:4] == tuple(DEMANDS.values())


def test_the_bench_refuses_demands_that_contradict_each_other() -> None:
    agent = Agent("contradicting")

    @agent.on("erp.thing")
    async def reads(event: Event, ctx: Context) -> None:
        await ctx.get("erp.thing", event.key, fresh=True, max_staleness=1.0)

    with agent.test({"erp.thing": [{"id": 1}]}) as t, pytest.raises(Rejected, match="pass one"):
        t.emit("erp.thing", "update", {"id": 1})


def test_a_fresh_read_of_the_bench_is_a_query_each_time() -> None:
    agent = Agent("careful")

    @agent.on("erp.thing")
    async def reads(event: Event, ctx: Context) -> None:
        await ctx.get("erp.thing", event.key)
        await ctx.get("erp.thing", event.key)
        await ctx.query("erp.thing", {"id": 1}, fresh=True)
        await ctx.get("erp.thing", event.key, fresh=True)
        await ctx.get_many("erp.thing", [event.key], fresh=True)

    with agent.test({"erp.thing": [{"id": 1}]}) as t:
        t.emit("erp.thing", "update", {"id": 1})
        assert t.legacy_queries == 4
