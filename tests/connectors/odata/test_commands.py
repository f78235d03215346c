"""Commands through the executor into SAP CAP: each takes effect once, whatever stays unheard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.model.specs import ArgSpec, CommandSpec, SystemSpec, Tier
from bridge.model.types import FieldType
from connectors.odata.commands.writer import ODataWriter
from tests.connectors.command_harness import (
    IN_DOUBT_TIMEOUT_S,
    CommandHarness,
    command,
    open_command_harness,
    sleep_until_settled,
)
from tests.connectors.odata.order_system import SPECS, system, tables
from tests.http_proxy import CUT, DROP, HANG, ForwardedRequest, HttpProxy
from tests.services.cap import Cap, order_id

TEXT = FieldType("string")
NUMBER = ArgSpec("number", TEXT)
OUTSIDE = Tier.OUTSIDE_THE_LOOP
COMMANDS = (
    CommandSpec("erp", "make", "order", "POST Orders ID=:key, number=:number", (NUMBER,), OUTSIDE),
    CommandSpec(
        "erp",
        "note",
        "order",
        "POST Orders number=:number, note=:id",
        (NUMBER,),
        OUTSIDE,
        probe="GET Orders note=:id",
    ),
    CommandSpec(
        "erp",
        "confirm",
        "order",
        "CALL Orders(:key)/confirm",
        (),
        OUTSIDE,
        probe="GET Orders(:key) status='C'",
    ),
    CommandSpec("erp", "hold", "order", "CALL Orders(:key)/hold reason='x'", (), OUTSIDE),
)
SPEC = SystemSpec("erp", "odata", SPECS, COMMANDS)


@asynccontextmanager
async def serving(
    folder: Path, url: str, settled: Callable[[], bool] = lambda: True, timeout: float = 60
) -> AsyncIterator[CommandHarness]:
    """An executor of the ERP at `url`; `settled`: what it was sent has happened or never will."""
    of = system(url, options={"timeout": timeout, "in_doubt_timeout": IN_DOUBT_TIMEOUT_S})
    sleep = sleep_until_settled(settled)
    async with open_command_harness(folder, SPEC, ODataWriter(of), await tables(of), sleep) as here:
        yield here


def orders(cap: Cap) -> list[Mapping[str, Any]]:
    with cap.client() as client:
        rows: list[Mapping[str, Any]] = client.get("Orders", params={"$orderby": "ID"}).json()[
            "value"
        ]
    return rows


class FirstPostReaction:
    """Reacts to the first request that fits, and to no other."""

    def __init__(self, reaction: str, fits: str) -> None:
        self._reaction = reaction
        self._fits = fits
        self.posts = 0

    def __call__(self, request: ForwardedRequest) -> str | None:
        if request.method != "POST" or self._fits not in request.path:
            return None
        self.posts += 1
        return self._reaction if self.posts == 1 else None


@pytest.mark.parametrize("name", ["make", "note"])
@pytest.mark.parametrize(("reaction", "posts"), [(CUT, 1), (HANG, 1), (DROP, 2)])
async def test_a_post_whose_answer_is_lost_never_makes_two_orders(
    cap: Cap, tmp_path: Path, name: str, reaction: str, posts: int
) -> None:
    """Found by the key that the command gave it, or by its own question; sent again only when it
    certainly never arrived.
    """
    message = command(name, order_id(1), number="7")
    timeout = 3 if reaction == HANG else 60
    async with HttpProxy(cap.address).serving() as between:
        between.rule = rule = FirstPostReaction(reaction, "/Orders")
        url = between.url(cap.url)
        async with serving(tmp_path, url, lambda: between.quiet, timeout) as here:
            await here.send(message)
            receipt = await here.receipt(message)
    assert receipt.outcome == "succeeded", receipt
    assert receipt.code == ("reconciled" if posts == 1 else None)
    assert [row["number"] for row in orders(cap)] == ["7"]
    assert rule.posts == posts


@pytest.mark.parametrize("reaction", [None, CUT])
async def test_an_order_confirmed_twice_by_a_repeated_command_is_confirmed_once(
    cap: Cap, tmp_path: Path, reaction: str | None
) -> None:
    cap.fill(orders=2)
    message = command("confirm", order_id(1))
    async with HttpProxy(cap.address).serving() as between:
        if reaction is not None:
            between.rule = FirstPostReaction(reaction, "confirm")
        async with serving(tmp_path, between.url(cap.url), lambda: between.quiet) as here:
            await here.send(message, message)
            first = await here.receipt(message)
            await here.send(message)
            last = command("hold", order_id(0))
            await here.send(last)
            assert (await here.receipt(last)).outcome == "succeeded"
    assert first.outcome == "succeeded"
    assert [row["confirmations"] for row in orders(cap)] == [0, 1]


async def test_what_the_service_refuses_is_told_in_its_own_words(cap: Cap, tmp_path: Path) -> None:
    cap.fill(orders=1)
    async with serving(tmp_path, cap.url) as here:
        confirm, hold = command("confirm", order_id(0)), command("hold", order_id(0))
        await here.send(confirm, hold)
        receipt = await here.receipt(hold)
    assert (receipt.outcome, receipt.code) == ("failed", "conflict")
    assert "Order 0000000000 is not open any more" in (receipt.message or "")


async def test_an_outcome_that_no_probe_can_tell_stays_open_and_nothing_is_sent_again(
    cap: Cap, tmp_path: Path
) -> None:
    cap.fill(orders=1)
    message = command("hold", order_id(0))
    async with HttpProxy(cap.address).serving() as between:
        between.rule = rule = FirstPostReaction(CUT, "hold")
        async with serving(tmp_path, between.url(cap.url), lambda: between.quiet) as here:
            await here.send(message)
            receipt = await here.receipt(message)
    assert receipt.outcome == "unknown_outcome"
    assert "declare a `probe:`" in (receipt.message or "")
    assert rule.posts == 1
