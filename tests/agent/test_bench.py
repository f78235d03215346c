from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bridge import Agent, Command, Event, NotFound, provenance
from bridge.agent import Context
from bridge.agent.context import BlockingContext
from bridge.model.errors import Rejected
from bridge.model.types import Relation
from tests.agent.running_agent import watcher

agent = watcher()
CUSTOMER = {"customer_id": "7", "exposure": 9, "credit_limit": 10}


def test_the_example_of_the_design_holds() -> None:
    with agent.test({"erp.customer": [CUSTOMER]}) as t:
        t.emit("erp.sales_order", "create", {"order_no": "1", "customer_id": "7", "total": 5})
        t.redeliver()
        assert [c.name for c in t.commands] == ["erp.block_order"]
        assert t.legacy_queries == 1
        assert [r.outcome for r in t.receipts] == ["succeeded"]


def test_an_order_within_the_limit_is_left_alone() -> None:
    with agent.test({"erp.customer": [CUSTOMER]}) as t:
        t.emit("erp.sales_order", "create", {"order_no": "1", "customer_id": "7", "total": 1})
        assert t.commands == []


def test_a_batch_of_handlers_reads_with_one_query() -> None:
    customers = [{**CUSTOMER, "customer_id": str(n)} for n in range(500)]
    with agent.test({"erp.customer": customers}) as t:
        t.emit_many(
            "erp.sales_order",
            "create",
            [{"order_no": str(n), "customer_id": str(n), "total": 5} for n in range(500)],
        )
        assert len(t.commands) == 500
        assert t.legacy_queries == 1


def test_a_missing_row_comes_out_as_not_found() -> None:
    with agent.test({"erp.customer": [CUSTOMER]}) as t, pytest.raises(NotFound, match="'8'"):
        t.emit("erp.sales_order", "create", {"order_no": "1", "customer_id": "8", "total": 5})


def test_what_a_handler_raises_is_no_error_during_another_one() -> None:
    """pytest printed a `RuntimeError: no running event loop` of the bench before it."""
    failing = Agent("failing")

    @failing.on("erp.customer")
    async def fails(event: Event, ctx: Context) -> None:
        raise ValueError("mine")

    with failing.test() as t, pytest.raises(ValueError, match="mine") as raised:
        t.emit("erp.customer", "create", CUSTOMER)
    assert raised.value.__context__ is None


def test_a_row_that_changed_is_read_again() -> None:
    with agent.test({"erp.customer": [CUSTOMER]}) as t:
        t.emit("erp.sales_order", "create", {"order_no": "1", "customer_id": "7", "total": 1})
        t.emit("erp.customer", "update", {"customer_id": "7", "exposure": 10})
        t.emit("erp.sales_order", "create", {"order_no": "2", "customer_id": "7", "total": 1})
        assert [c.key for c in t.commands] == [{"order_no": "2"}]
        assert t.legacy_queries == 2


def test_an_agent_does_not_see_its_own_echo_unless_it_asks() -> None:
    quiet, loud = Agent("quiet"), Agent("loud", own_echo=True)
    seen: list[str] = []
    for observed in (quiet, loud):

        @observed.on("erp.thing")
        def note(event: Event, ctx: BlockingContext, name: str = observed.name) -> None:
            seen.append(name)

        with observed.test() as t:
            t.emit("erp.thing", "create", {"id": 1}, caused_by=f"{observed.name}:abc")
            t.emit("erp.thing", "update", {"id": 1}, caused_by="another:abc")
    assert seen == ["quiet", "loud", "loud"]


def test_plain_functions_and_generators_are_handlers_too() -> None:
    many = Agent("many")

    @many.on("erp.thing", ops={"create"})
    def plain(event: Event, ctx: BlockingContext) -> Iterator[Command]:
        customers = ctx.get("erp.other", event.after.other)
        yield Command("erp.touch", key=customers.id)
        yield Command("erp.touch", key=event.key)

    @many.on("erp.thing", ops={"create"})
    async def flowing(event: Event, ctx: Context) -> AsyncIterator[Command]:
        yield Command("erp.third", key=event.key)

    with many.test({"erp.other": [{"id": 5}]}) as t:
        t.emit("erp.thing", "create", {"id": 1, "other": 5})
        assert [(c.name, c.key) for c in t.commands] == [
            ("erp.touch", 5),
            ("erp.touch", {"id": 1}),
            ("erp.third", {"id": 1}),
        ]
        assert len({answer.record.id for answer in t.answers}) == 3


def test_a_handler_that_answers_otherwise_under_the_same_key_is_told() -> None:
    fickle = Agent("fickle")
    turns = iter(range(9))

    @fickle.on("erp.thing")
    async def spin(event: Event, ctx: Context) -> Command:
        return Command("erp.set", key=event.key, args={"turn": next(turns)})

    with fickle.test() as t:
        t.emit("erp.thing", "create", {"id": 1})
        t.redeliver()
        assert [r.code for r in t.receipts] == [None, "key_reused"]


def test_relations_and_provenance_work_on_the_bench() -> None:
    walker = Agent("walker")
    customer: list[Any] = []

    @walker.on("erp.sales_order")
    async def walk(event: Event, ctx: Context) -> None:
        lines = await ctx.related(event.after, "lines")
        customer.extend(line.item for line in lines)
        customer.append(await ctx.related(event.after, "customer"))
        customer.append(provenance(lines[0]).entity)
        assert provenance(event.after).position == event.position

    rows = {
        "erp.order_line": [
            {"line": 1, "order_no": "1", "item": "nut"},
            {"line": 2, "order_no": "2", "item": "bolt"},
        ],
        "erp.customer": [CUSTOMER],
    }
    relations = {
        "erp.sales_order": [
            Relation("lines", "order_line", by="order_no"),
            Relation("customer", "customer", from_field="customer_id"),
        ]
    }
    with walker.test(rows, relations=relations) as t:
        t.emit("erp.sales_order", "create", {"order_no": "1", "customer_id": "7"})
    assert customer[0] == "nut"
    assert customer[1].credit_limit == 10
    assert customer[2] == "erp.order_line"


def test_relations_of_several_fields_are_followed() -> None:
    walker = Agent("walker")
    items: list[Any] = []

    @walker.on("erp.sales_order")
    async def walk(event: Event, ctx: Context) -> None:
        items.extend(line.item for line in await ctx.related(event.after, "lines"))
        items.append((await ctx.related(event.after, "customer")).name)

    rows: dict[str, list[dict[str, Any]]] = {
        "erp.order_line": [
            {"line": 1, "firm": "a", "order_no": "1", "item": "nut"},
            {"line": 2, "firm": "b", "order_no": "1", "item": "bolt"},
        ],
        "erp.customer": [
            {"customer_id": "7", "firm": "a", "name": "Ada"},
            {"customer_id": "7", "firm": "b", "name": "Bob"},
        ],
    }
    relations = {
        "erp.sales_order": [
            Relation("lines", "order_line", by=("order_no", "firm"), on=("no", "firm")),
            Relation("customer", "customer", from_field=("customer_id", "firm")),
        ]
    }
    keys = {"erp.customer": ("customer_id", "firm"), "erp.sales_order": ("firm", "no")}
    with walker.test(rows, keys=keys, relations=relations) as t:
        t.emit("erp.sales_order", "create", {"firm": "b", "no": "1", "customer_id": "7"})
    assert items == ["bolt", "Bob"]


def test_a_version_of_an_event_equals_that_of_the_row_when_read() -> None:
    reader = Agent("reader")
    versions: list[str] = []

    @reader.on("erp.thing")
    async def look(event: Event, ctx: Context) -> None:
        versions.append(event.version)
        versions.append(ctx.version(await ctx.get("erp.thing", event.key)))

    with reader.test() as t:
        t.emit("erp.thing", "create", {"id": 1, "name": "a"})
    assert versions[0] == versions[1]


def test_where_takes_fields_or_a_function() -> None:
    picky = Agent("picky")
    seen: list[Any] = []

    @picky.on("erp.thing", where={"status": ["open", "late"]})
    async def by_field(event: Event, ctx: Context) -> None:
        seen.append(("field", event.after.id))

    @picky.on("erp.thing", where=lambda event: event.after.id == 3)
    async def by_function(event: Event, ctx: Context) -> None:
        seen.append(("function", event.after.id))

    with picky.test() as t:
        t.emit("erp.thing", "create", {"id": 1, "status": "open"})
        t.emit("erp.thing", "create", {"id": 2, "status": "done"})
        t.emit("erp.thing", "create", {"id": 3, "status": "late"})
    assert seen == [("field", 1), ("field", 3), ("function", 3)]


async def test_the_bench_says_that_it_wants_a_plain_test() -> None:
    agent = Agent("tester")
    with agent.test() as bench, pytest.raises(RuntimeError, match="in a plain test"):
        bench.emit("erp.thing", "create", {"id": 1})


def test_ctrl_c_ends_the_test_and_is_no_error_of_the_handler() -> None:
    """The next test would begin, as if somebody had not wanted to end all of them."""
    slow = Agent("slow")

    @slow.on("erp.thing")
    async def sleeps(event: Event, ctx: Context) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(5)

    with slow.test({}) as t, pytest.raises(KeyboardInterrupt):
        t.emit("erp.thing", "create", {"id": 1})


def test_ranges_orders_and_pages_are_answered_as_by_a_legacy_system() -> None:
    reading = Agent("reading")
    pages: list[list[str]] = []

    @reading.on("erp.customer")
    async def read(event: Event, ctx: Context) -> None:
        del event
        where, order = {"exposure": {">=": 2, "<": 9}}, ["-exposure"]
        page = await ctx.query("erp.customer", where, 2, order=order, fields=["exposure"])
        while page:
            pages.append([row["customer_id"] for row in page])
            page = await ctx.query("erp.customer", where, 2, order=order, continue_after=page[-1])

    rows = [{"customer_id": str(n), "exposure": n // 2 if n else None} for n in range(10)]
    with reading.test({"erp.customer": rows}) as t:
        t.emit("erp.customer", "create", {"customer_id": "99", "exposure": 1})
    assert pages == [["8", "9"], ["6", "7"], ["4", "5"]]


def test_an_operator_that_is_none_is_refused_as_by_the_gateway() -> None:
    reading = Agent("reading")

    @reading.on("erp.customer")
    async def read(event: Event, ctx: Context) -> None:
        del event
        await ctx.query("erp.customer", {"exposure": {"=>": 2}})

    with (
        reading.test({"erp.customer": [CUSTOMER]}) as t,
        pytest.raises(Rejected, match="'=>' is no"),
    ):
        t.emit("erp.customer", "create", CUSTOMER)
