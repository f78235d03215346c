"""Agents and commands on a real Kafka: the same code, another log."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.log.kafka import from_url
from bridge.model.command import CommandRecord
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import AuditRecord
from tests.agent.running_agent import running, watcher
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.agent.test_handler_loop import blocked_handlers_do_no_harm
from tests.commands.sqlite_executor import executing, orders, receipts, sealed, send
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


@pytest.fixture
async def here(kafka: Kafka, tmp_path: Path) -> AsyncIterator[ErpHarness]:
    log = from_url(f"kafka://{kafka.bootstrap}")
    async with open_erp(tmp_path, log=log, bridge=f"acme{uuid.uuid4().hex[:8]}") as erp:
        yield erp


async def test_events_become_commands_and_commands_effects_with_one_receipt_each(
    here: ErpHarness,
) -> None:
    here.customers(200)
    rows = [here.order(n, n, 5 if n % 2 else 1) for n in range(1, 201)]

    async def all_answered() -> bool:
        return len(await here.records("receipt")) >= 100

    async with running(here, watcher()), running(here, watcher()), executing(here):
        for at in range(0, 200, 20):
            await here.publish("sales_order", 1, rows[at : at + 20])
        await until(all_answered)
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    receipts = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    assert len(commands) == 100
    assert {c.id for c in commands} == {r.command_id for r in receipts}
    assert len(receipts) == 100
    assert {r.outcome for r in receipts} == {Outcome.SUCCEEDED}
    blocked = {number for number, row in orders(here).items() if row[1] == "01"}
    assert blocked == {str(n) for n in range(1, 201, 2)}
    trail = [a for a in await here.records("audit") if isinstance(a, AuditRecord)]
    assert len(trail) == 400


async def test_a_member_that_joins_while_handlers_run_repeats_no_command(here: ErpHarness) -> None:
    here.customers(50)
    rows = [here.order(n, n, 5) for n in range(1, 51)]
    for _ in range(4):
        await here.publish("sales_order", 2, rows)

    async def all_there() -> bool:
        return len(await here.records("command")) >= 200

    async def begun() -> bool:
        return bool(await here.records("command"))

    async with running(here, watcher()):
        await until(begun)
        async with running(here, watcher()):
            await until(all_there)
    commands = [c for c in await here.records("command") if isinstance(c, CommandRecord)]
    assert len(commands) == len({c.id for c in commands}) == 200


async def test_handlers_that_block_cost_neither_membership_nor_commands(here: ErpHarness) -> None:
    await blocked_handlers_do_no_harm(here, session_timeout=6.0)


async def test_a_command_that_failed_has_one_receipt_although_another_executor_gets_it_again(
    here: ErpHarness,
) -> None:
    command = sealed("note_order", args={"reason": "late"})
    await send(here, command)
    async with executing(here):
        assert (await receipts(here, 1))[command.id].code == "not_found"
    here.order(1, 1, 5)
    new = sealed("note_order", args={"reason": "new"}, key="new")
    await send(here, command, new)
    async with executing(here):
        assert set(await receipts(here, 2)) == {command.id, new.id}
    assert orders(here)["1"] == (5, None, "new")
