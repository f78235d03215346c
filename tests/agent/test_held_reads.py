"""Reads by key through a Context, the bridge's calls and a gateway with the copy of its system."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.agent.bridge_calls import BridgeReads
from bridge.agent.context import Context
from bridge.gateway import Gateways
from bridge.model.provenance import provenance
from bridge.ports.held_entry import EntityClaim
from tests.gateway.copied_erp import SPECS, CopiedErp, LaggingCopy, erp_gateway, position


class CountedCalls:
    """Runs the bridge's work at once, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    async def call(self, work: Any) -> Any:
        self.count += 1
        return await work()


class PublishedCopy(LaggingCopy):
    """Publishes its claims as one object per entity."""

    def __init__(self, erp: CopiedErp) -> None:
        self.claims = {name: EntityClaim() for name in SPECS}
        super().__init__(erp)

    def prove(self, as_of: float) -> None:
        super().prove(as_of)
        for name, claim in self.claims.items():
            claim.claim = self.claim(name)

    def entity_claim(self, entity: str) -> EntityClaim:
        return self.claims[entity]


class Reading:
    """One agent's reads of a system with a copy, which holds customer 1 and its order 7."""

    def __init__(self) -> None:
        self.erp = CopiedErp()
        self.erp.write("customers", 1, "Ada")
        self.erp.write("orders", 7, 1, "note")
        self.copy = PublishedCopy(self.erp)
        self.calls = CountedCalls()
        gateways = Gateways({"erp": erp_gateway(self.erp, self.copy)})
        self.reads = BridgeReads(self.calls, gateways)  # type: ignore[arg-type]

    def context(self, at: int = 1) -> Context:
        """Of the event of that transaction."""
        event: Any = SimpleNamespace(
            id=f"e{at}",
            entity="erp.order",
            position=position(at),
            transaction=str(at),
            after=None,
            before=None,
        )
        logger = logging.LoggerAdapter(logging.getLogger("test"), {})
        return Context(
            event,
            self.reads,
            lambda: datetime.now(UTC),
            logger,
            handler="on_order",
            agent="keeper",
            held=self.reads.held,
        )

    async def name(self, at: int = 1, **demands: Any) -> tuple[str, int]:
        """Customer 1's name for the event of that transaction, and how often the bridge was called."""
        calls = self.calls.count
        row = await self.context(at).get("erp.customer", 1, **demands)
        return row.name, self.calls.count - calls


async def held() -> Reading:
    """After two reads: of the legacy system, which fills the cache, and of the cache."""
    reading = Reading()
    reading.copy.follow()
    assert await reading.name() == ("Ada", 1)
    assert await reading.name() == ("Ada", 1)
    return reading


async def test_a_row_that_is_held_is_read_again_without_the_bridge() -> None:
    reading = await held()
    row = await reading.context().get("erp.customer", 1)
    assert await reading.name() == ("Ada", 0)
    assert provenance(row).source == "cache"
    assert provenance(row).position == position(2)
    reading.erp.write("orders", 8, 1, "another")
    reading.copy.follow()
    assert provenance(row).position == position(3), "the entry is held, so its claim grows"
    assert await reading.name(3) == ("Ada", 0)


async def test_a_row_that_a_change_replaced_is_asked_for() -> None:
    reading = await held()
    reading.erp.write("customers", 1, "Grace")
    assert await reading.name() == ("Ada", 0), "not read by the follower yet, and young enough"
    reading.copy.follow()
    assert await reading.name() == ("Grace", 1)
    assert await reading.name() == ("Grace", 0)


async def test_an_event_that_the_copy_does_not_contain_is_asked_for() -> None:
    reading = await held()
    reading.erp.write("customers", 1, "Grace")
    assert await reading.name(3) == ("Grace", 1)


async def held_and_older(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """The row has changed; the cache takes no answers, so that it holds the older row."""
    reading = await held()
    for fill in ("fill", "fill_list"):
        monkeypatch.setattr(reading.copy.cache, fill, lambda *_: 0)
    reading.erp.write("customers", 1, "Grace")
    assert await reading.name() == ("Ada", 0)
    return reading


async def test_what_was_read_live_is_not_followed_by_what_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = await held_and_older(monkeypatch)
    assert await reading.name(fresh=True) == ("Grace", 1)
    assert await reading.name() == ("Grace", 1)


async def test_rows_read_together_may_be_newer_than_what_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = await held_and_older(monkeypatch)
    [row] = await reading.context().get_many("erp.customer", [1], fresh=True)
    assert row is not None
    assert row.name == "Grace"
    assert await reading.name() == ("Grace", 1)


@pytest.mark.parametrize("is_related", [False, True])
async def test_rows_of_lists_may_be_newer_than_what_is_held(
    monkeypatch: pytest.MonkeyPatch, is_related: bool
) -> None:
    reading = await held_and_older(monkeypatch)
    ctx = reading.context()
    if is_related:
        order = await ctx.get("erp.order", 7)
        customer = await ctx.related(order, "buyer", fresh=True)
    else:
        [customer] = await ctx.query("erp.customer", {"name": "Grace"})
    assert customer.name == "Grace"
    assert await reading.name() == ("Grace", 1)


async def test_an_entity_in_doubt_is_asked_for() -> None:
    reading = await held()
    reading.copy.doubts.add("customer")
    reading.copy.prove(monotonic())
    assert await reading.name() == ("Ada", 1)


async def test_rows_read_together_are_kept_by_key() -> None:
    reading = await held()
    ctx = reading.context()
    for _ in range(2):
        assert [row and row.id for row in await ctx.get_many("erp.order", [7, 9])] == [7, None]
    calls = reading.calls.count
    assert (await ctx.get("erp.order", 7)).note == "note"
    assert reading.calls.count == calls
