"""A loop that awaits one read for each row is named with its line, and with what cures it."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge import Agent
from bridge.agent.read_rounds import ReadRounds, ReadSite, SiteReads
from bridge.model.read_demands import ReadCause
from bridge.model.types import Relation

ROWS: dict[str, list[dict[str, Any]]] = {
    "erp.line": [{"id": str(n), "order_no": str(n % 2), "product_id": f"p{n}"} for n in range(10)],
    "erp.product": [{"id": f"p{n}", "price": n} for n in range(10)],
}
RELATIONS = {
    "erp.order": [Relation("lines", "line", by="order_no")],
    "erp.line": [Relation("product", "product", from_field="product_id")],
}


def bench(agent: Agent) -> Any:
    return agent.test({**ROWS, "erp.order": [{"no": "0"}, {"no": "1"}]}, relations=RELATIONS)


def looping() -> Agent:
    agent = Agent("loops")

    @agent.on("erp.order")
    async def check(event: Any, ctx: Any) -> None:
        for line in await ctx.related(event.after, "lines"):
            await ctx.related(line, "product")

    return agent


def line_of(handler: Any, after: int) -> str:
    return f"test_read_rounds.py:{handler.__code__.co_firstlineno + after}"


def test_a_loop_is_explained_with_its_line_and_its_cure() -> None:
    agent = looping()
    line = line_of(agent.handlers[0].run, 3)
    with bench(agent) as t:
        t.emit("erp.order", "update", {"no": "0"})
        t.emit("erp.order", "update", {"no": "1"})
        site = f'check at {line}: ctx.related(row, "product")'
        assert t.explain() == (
            f"12 reads in 12 rounds, {t.legacy_queries} queries\n"
            f"{site}: 10 reads in 10 rounds; 2 would do\n"
            '    await asyncio.gather(*(ctx.related(row, "product") for row in rows))'
        )
        assert t.loops() == [site]


def test_a_handler_may_be_allowed_its_loop() -> None:
    with bench(looping()) as t:
        t.emit("erp.order", "update", {"no": "0"})
        assert t.loops(allowed=["check"]) == []
        assert "check" not in t.explain(allowed=["check"])


def test_reads_that_wait_together_are_one_round() -> None:
    agent = Agent("gathers")

    @agent.on("erp.order")
    async def check(event: Any, ctx: Any) -> None:
        lines = await ctx.related(event.after, "lines")
        await asyncio.gather(*(ctx.related(line, "product") for line in lines))
        await ctx.get_many("erp.product", [line.product_id for line in lines])

    with bench(agent) as t:
        t.emit("erp.order", "update", {"no": "0"})
        assert t.loops() == []
        assert t.explain() == f"7 reads in 3 rounds, {t.legacy_queries} queries"


def test_a_loop_in_a_thread_is_counted_without_its_line() -> None:
    agent = Agent("plain")

    @agent.on("erp.order")
    def check(event: Any, ctx: Any) -> None:
        for number in range(3):
            ctx.get("erp.product", f"p{number}")

    with bench(agent) as t:
        t.emit("erp.order", "update", {"no": "0"})
        assert t.loops() == ['check: ctx.get("erp.product", key)']


def test_answers_that_took_no_query_count_as_well() -> None:
    agent = Agent("cached")

    @agent.on("erp.order")
    async def check(event: Any, ctx: Any) -> None:
        for _ in range(4):
            await ctx.query("erp.product", {"price": 3})

    with bench(agent) as t:
        t.emit("erp.order", "update", {"no": "0"})
        assert t.explain().splitlines()[0] == "4 reads in 4 rounds, 1 query"
        assert t.loops()[0].endswith('ctx.query("erp.product", {"price": ...})')


def site(number: int) -> ReadSite:
    return ReadSite("h", f"h.py:{number:05}", "get", "erp.product")


def test_the_most_expensive_loop_comes_first() -> None:
    rounds = ReadRounds()
    for number in (1, 2, 3):
        cause = ReadCause("agent")
        for _ in range(10 - number):
            rounds.begin(cause, site(number))
            rounds.end(cause, site(number))
    assert rounds.loops() == [(site(n), SiteReads(1, 10 - n, 10 - n)) for n in (1, 2, 3)]


def test_rounds_of_different_attempts_are_apart() -> None:
    rounds = ReadRounds()
    first, second = ReadCause("agent", event_id="1"), ReadCause("agent", event_id="2")
    rounds.begin(first, site(1))
    rounds.begin(second, site(1))
    rounds.end(first, site(1))
    rounds.begin(first, site(1))
    assert rounds.loops() == [(site(1), SiteReads(2, 3, 3))]


def test_what_is_counted_is_bounded() -> None:
    rounds = ReadRounds(max_sites=2, max_attempts=3)
    causes = [ReadCause("agent", event_id=str(number)) for number in range(10)]
    for cause in causes:
        for number in range(5):
            for _ in range(2):
                rounds.begin(cause, site(number))
                rounds.end(cause, site(number))
    assert [each for each, _ in rounds.loops()] == [site(0), site(1)]
    assert len(rounds._attempts) == 3
