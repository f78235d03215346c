"""Commands through the executor into Tryton: each takes effect once, whatever stays unheard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.model.event import row_version
from bridge.model.specs import ArgSpec, CommandSpec, SystemSpec, Tier
from bridge.model.types import FieldType
from connectors.tryton.commands.writer import TrytonWriter
from tests.connectors.command_harness import (
    IN_DOUBT_TIMEOUT_S,
    CommandHarness,
    command,
    open_command_harness,
    sleep_until_settled,
)
from tests.connectors.tryton.erp import SPECS, ErpUser, gateway, system, tables
from tests.http_proxy import CUT, DROP, HANG, ForwardedRequest, HttpProxy
from tests.services.tryton import Tryton
from tests.waiting import until

TEXT = FieldType("string")
OUTSIDE = Tier.OUTSIDE_THE_LOOP
CONFIRMED = "FIND sale.sale(:key) state=['confirmed', 'processing', 'done']"
COMMANDS = (
    CommandSpec(
        "erp",
        "order",
        "party",
        "CREATE sale.sale party=:key, reference=:id, comment=:comment",
        (ArgSpec("comment", TEXT),),
        OUTSIDE,
        probe="FIND sale.sale reference=:id",
    ),
    CommandSpec("erp", "quote", "sale", "BUTTON sale.sale(:key)/quote", (), OUTSIDE),
    CommandSpec(
        "erp", "confirm", "sale", "BUTTON sale.sale(:key)/confirm", (), OUTSIDE, probe=CONFIRMED
    ),
    CommandSpec(
        "erp",
        "note",
        "sale",
        "WRITE sale.sale(:key) comment=:comment",
        (ArgSpec("comment", TEXT),),
        OUTSIDE,
        guards=("state", "comment"),
    ),
    CommandSpec("erp", "arrive", "sale", "BUTTON stock.move(:key)/do", (), OUTSIDE),
)
CREATE = "model.sale.sale.create"
SPEC = SystemSpec("erp", "tryton", SPECS, COMMANDS)


@asynccontextmanager
async def serving(
    folder: Path, url: str, settled: Callable[[], bool] = lambda: True, timeout: float = 60
) -> AsyncIterator[CommandHarness]:
    """An executor of the ERP at `url`; `settled`: what it was sent has happened or never will."""
    of = system(url, options={"timeout": timeout, "in_doubt_timeout": IN_DOUBT_TIMEOUT_S})
    sleep = sleep_until_settled(settled)
    async with open_command_harness(
        folder, SPEC, TrytonWriter(of), await tables(of), sleep
    ) as executor:
        yield executor


class ReactOnce:
    """Reacts to the first call of a method, and to no other."""

    def __init__(self, reaction: str, method: str) -> None:
        self._reaction = reaction
        self._method = f'"model.{method}"'.encode()
        self.calls = 0

    def __call__(self, request: ForwardedRequest) -> str | None:
        if self._method not in request.body:
            return None
        self.calls += 1
        return self._reaction if self.calls == 1 else None


@pytest.mark.parametrize(("reaction", "calls"), [(CUT, 1), (HANG, 1), (DROP, 2)])
async def test_a_create_whose_answer_is_lost_never_makes_two_sales(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path, reaction: str, calls: int
) -> None:
    """Found by the command's id, which it carries; sent again only when it never arrived."""
    sent = command("order", erp_user.customers[0][0], comment=str(tmp_path))
    timeout = 3 if reaction == HANG else 60
    async with HttpProxy(tryton.address).serving() as between:
        between.rule = rule = ReactOnce(reaction, "sale.sale.create")
        url = between.url(tryton.url)
        async with serving(tmp_path, url, lambda: between.quiet, timeout) as executor:
            await executor.send(sent)
            receipt = await executor.receipt(sent)
    assert receipt.outcome == "succeeded", receipt
    assert receipt.code == ("reconciled" if calls == 1 else None)
    assert len(erp_user.rpc.search("sale.sale", ["comment", "=", str(tmp_path)])) == 1
    assert rule.calls == calls


async def test_a_create_that_outlasts_its_time_out_is_waited_for_and_makes_one_sale(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path
) -> None:
    """It goes on at the ERP when nobody listens any more; here another transaction holds it up."""
    first, slow = (command("order", erp_user.customers[0][0], comment="x") for _ in range(2))
    held, given_up = asyncio.Event(), asyncio.Event()

    def settled() -> bool:
        if not held.is_set():
            return erp_user.referring(first.id) != []
        given_up.set()
        return erp_user.referring(slow.id) != []

    async with serving(tmp_path, tryton.url, settled, timeout=1) as executor:
        await executor.send(first)
        assert (await executor.receipt(first)).outcome == "succeeded"
        tryton.reset()
        with tryton.store.held("sale_sale"):
            held.set()
            await executor.send(slow)
            async with asyncio.timeout(60):
                await given_up.wait()
            await until(lambda: CREATE in tryton.calls())
            assert erp_user.referring(slow.id) == []
        receipt = await executor.receipt(slow)
    assert (receipt.outcome, receipt.code) == ("succeeded", "reconciled"), receipt
    assert len(erp_user.referring(slow.id)) == 1
    assert tryton.calls().count(CREATE) == 1


@pytest.mark.parametrize("reaction", [None, CUT])
async def test_a_sale_confirmed_twice_by_a_repeated_command_is_confirmed_once(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path, reaction: str | None
) -> None:
    key, other = erp_user.sell("quote"), erp_user.sell()
    sent, last = command("confirm", key), command("quote", other)
    tryton.reset()
    async with HttpProxy(tryton.address).serving() as between:
        if reaction is not None:
            between.rule = ReactOnce(reaction, "sale.sale.confirm")
        async with serving(tmp_path, between.url(tryton.url), lambda: between.quiet) as executor:
            await executor.send(sent, sent)
            first = await executor.receipt(sent)
            await executor.send(sent)
            await executor.send(last)
            assert (await executor.receipt(last)).outcome == "succeeded"
    assert first.outcome == "succeeded"
    assert tryton.calls().count("model.sale.sale.confirm") == 1
    row = erp_user.row(key, "state", "shipments", "invoices")
    assert (row["state"], len(row["shipments"]), len(row["invoices"])) == ("processing", 1, 1)


async def test_what_the_erp_refuses_is_told_in_its_own_words(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path
) -> None:
    key, move = erp_user.sell(), erp_user.arrival()
    async with serving(tmp_path, tryton.url) as executor:
        confirm, arrive = command("confirm", key), command("arrive", move)
        await executor.send(confirm, arrive)
        receipt, warned = await executor.receipt(confirm), await executor.receipt(arrive)
    assert (receipt.outcome, receipt.code) == ("failed", "legacy_error")
    assert 'You can not call "confirm" on' in (receipt.message or "")
    assert (warned.outcome, warned.code) == ("failed", "warning")
    assert "despite 'effective_date_future'" in (warned.message or "")


async def test_a_command_that_expects_another_version_conflicts_and_learns_the_current_one(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path
) -> None:
    key = erp_user.sell()
    of = system(tryton.url)
    entity = (await tables(of))["sale"].entity
    async with gateway(of, lambda _: None) as erp_gateway:
        [row] = await erp_gateway.get_many("sale", [key])
    version = str(row_version(entity, row, ("state", "comment")))
    async with serving(tmp_path, tryton.url) as executor:
        first = command("note", key, expect=version, comment="first")
        await executor.send(first)
        assert (await executor.receipt(first)).outcome == "succeeded"
        late = command("note", key, expect=version, comment="late")
        await executor.send(late)
        receipt = await executor.receipt(late)
    assert (receipt.outcome, receipt.code) == ("failed", "conflict"), receipt
    assert receipt.version not in (None, version)
    assert erp_user.row(key, "comment")["comment"] == "first"


async def test_an_outcome_that_no_probe_can_tell_stays_open_and_nothing_is_sent_again(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path
) -> None:
    sent = command("quote", erp_user.sell())
    async with HttpProxy(tryton.address).serving() as between:
        between.rule = rule = ReactOnce(CUT, "sale.sale.quote")
        async with serving(tmp_path, between.url(tryton.url), lambda: between.quiet) as executor:
            await executor.send(sent)
            receipt = await executor.receipt(sent)
    assert receipt.outcome == "unknown_outcome"
    assert "declare a `probe:`" in (receipt.message or "")
    assert rule.calls == 1


async def test_the_receipt_of_a_new_row_tells_its_id(
    tryton: Tryton, erp_user: ErpUser, tmp_path: Path
) -> None:
    sent = command("order", erp_user.customers[1][0], comment="id")
    async with serving(tmp_path, tryton.url) as executor:
        await executor.send(sent)
        receipt = await executor.receipt(sent)
    [row] = json.loads(receipt.result or "")
    assert erp_user.row(row["id"], "reference")["reference"] == sent.id
