"""Receipts that somebody else wrote than an executor."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bridge.commands.codes import outcome_headers
from bridge.commands.contract import AFTER_RECEIPTS, BEFORE_RECEIPTS
from bridge.commands.history import command_histories
from bridge.commands.manual.conclude import Verdict, conclude, write_conclusion
from bridge.commands.receipts.builder import refused
from bridge.connector import Done, Effect
from bridge.model.command import CommandRecord
from bridge.model.errors import RetryLater
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import AuditRecord, target
from bridge.observe import CommandMoved, Notice
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.sql.write.writer import SqlWriter
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.commands.kill_executor import killed
from tests.commands.rpc_writer import RpcWriter
from tests.commands.sqlite_executor import HEIR, REASON, executing, orders, receipts, sealed, send
from tests.waiting import until


async def forge(here: ErpHarness, command: CommandRecord, outcome: Outcome) -> None:
    """A receipt of a command that no executor has seen."""
    order_target = target("erp", "sales_order", json.loads(command.key))
    receipt = refused(command, outcome, "", "all is well", datetime.now(UTC))
    entry = here.codec.entry(
        "receipt", order_target, receipt, outcome_headers(receipt, command.digest)
    )
    await here.log.append(here.codec.topic("receipt"), [entry])


async def written(here: ErpHarness) -> list[Receipt]:
    return [r for r in await here.records("receipt") if isinstance(r, Receipt)]


async def test_a_receipt_of_success_that_the_ledger_does_not_know_leaves_the_command_unknown(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    command, other = sealed("raise_total"), sealed("note_order", args=REASON)
    await forge(here, command, Outcome.SUCCEEDED)
    await send(here, command, command, other)
    notices: list[Notice] = []
    async with executing(here, observer=notices.append):
        await receipts_of(here, other)
    moves = [n for n in notices if isinstance(n, CommandMoved) and n.command_id == command.id]
    assert [(m.state, m.code) for m in moves if m.state == "unknown"] == [
        ("unknown", "unproven"),
        ("unknown", ""),
    ]
    assert orders(here)["1"] == (5, None, "late")
    forged, disputed = [r for r in await written(here) if r.command_id == command.id]
    assert forged.outcome == Outcome.SUCCEEDED
    assert (disputed.outcome, disputed.code) == (Outcome.UNKNOWN_OUTCOME, "unproven")
    assert "the ledger has no row of it" in (disputed.message or "")
    assert f"bridgectl commands settle {command.id}" in (disputed.message or "")


async def receipts_of(here: ErpHarness, command: CommandRecord) -> list[Receipt]:
    async def is_written() -> bool:
        return any(r.command_id == command.id for r in await written(here))

    await until(is_written)
    return [r for r in await written(here) if r.command_id == command.id]


async def test_it_waits_for_a_person_whatever_comes_and_ends_as_they_say(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await forge(here, command, Outcome.SUCCEEDED)
    for _ in range(2):
        await send(here, command)
        barrier = sealed("note_order", args=REASON, key=f"tester/{datetime.now(UTC)}")
        await send(here, barrier)
        async with executing(here):
            await receipts_of(here, barrier)
    assert orders(here)["1"][0] == 5
    order_target = target("erp", "sales_order", json.loads(command.key))
    verdict = Verdict(Outcome.FAILED, "person-ann", "the total is as it was")
    last = [r for r in await written(here) if r.command_id == command.id][-1]
    lifecycle = conclude(command, last, verdict, datetime.now(UTC))
    await write_conclusion(here.log, here.codec, here.bridge, order_target, lifecycle)
    records = [*await here.records("command"), *await here.records("receipt")]
    assert command_histories(records)[command.id].state == "failed"
    await send(here, command)
    await send(here, final := sealed("note_order", args=REASON, key="final"))
    async with executing(here):
        await receipts_of(here, final)
    assert [r.code for r in await written(here) if r.command_id == command.id][-1] == "settled"
    assert orders(here)["1"][0] == 5


async def test_a_story_ends_as_unknown_once_its_success_is_disputed(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await forge(here, command, Outcome.SUCCEEDED)
    await send(here, command)
    async with executing(here):
        await until(lambda: unproven(here))
    await forge(here, command, Outcome.SUCCEEDED)
    records = [*await here.records("command"), *await here.records("receipt")]
    assert command_histories(records)[command.id].state == "unknown"


async def unproven(here: ErpHarness) -> bool:
    return any(r.code == "unproven" for r in await written(here))


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", [BEFORE_RECEIPTS, AFTER_RECEIPTS])
async def test_killed_while_it_disputes_a_receipt_the_command_is_not_carried_out(
    step: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("forged")
    async with open_erp(folder, partitions=1) as here:
        here.order(1, 1, 5)
        command = sealed("raise_total")
        await forge(here, command, Outcome.SUCCEEDED)
        await send(here, command)
    killed(folder, step)
    async with open_erp(folder, partitions=1) as here, executing(here, session=HEIR):
        await send(here, command)
        await send(here, later := sealed("note_order", args=REASON))
        await receipts_of(here, later)
        assert orders(here)["1"] == (5, None, "late")
        assert command_histories(await here.records("receipt"))[command.id].state == "unknown"


async def test_a_success_that_the_ledger_knows_is_answered_by_its_receipt(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await send(here, command)
    async with executing(here):
        await receipts(here, 1)
    await send(here, command)
    notices: list[Notice] = []
    async with executing(here, observer=notices.append):
        await until(lambda: any(isinstance(n, CommandMoved) for n in notices))
    assert [(r.outcome, r.code) for r in await written(here)] == [(Outcome.SUCCEEDED, None)]
    assert orders(here)["1"][0] == 6


async def test_while_the_ledger_is_away_a_success_is_neither_believed_nor_disputed(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await forge(here, command, Outcome.SUCCEEDED)
    await send(here, command)
    probe_count = 0

    class UnavailableLedger(SqlWriter):
        async def probe(self, effect: Effect) -> Done | None:
            nonlocal probe_count
            probe_count += 1
            if probe_count < 3:
                raise RetryLater("the ERP is away")
            return await super().probe(effect)

    async with executing(here, writer=UnavailableLedger(here.system, SqliteJournal().sql)):
        await until(lambda: unproven(here))
    assert probe_count == 3
    assert orders(here)["1"][0] == 5


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REJECTED, Outcome.EXPIRED])
async def test_another_end_that_was_forged_keeps_the_command_from_happening_and_is_told(
    here: ErpHarness, outcome: Outcome
) -> None:
    """Nothing tells it from a genuine one; it prevents an effect and makes none."""
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await forge(here, command, outcome)
    await send(here, command)
    notices: list[CommandMoved] = []
    async with executing(
        here, observer=lambda n: notices.append(n) if isinstance(n, CommandMoved) else None
    ):
        await until(lambda: len(notices) == 1)
    assert (notices[0].state, notices[0].repeated) == (outcome.value, True)
    assert orders(here)["1"][0] == 5


async def test_without_a_ledger_the_receipt_is_all_that_there_is(here: ErpHarness) -> None:
    command = sealed("raise_total")
    await forge(here, command, Outcome.SUCCEEDED)
    await send(here, command)
    notices: list[Notice] = []
    writer = RpcWriter(here.folder)
    async with executing(here, writer=writer, ledger=False, observer=notices.append):
        await until(lambda: any(isinstance(n, CommandMoved) for n in notices))
    assert len(await written(here)) == 1


async def test_a_receipt_that_was_forged_afterwards_changes_nothing(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("note_order", "2", args=REASON)
    await send(here, command)
    async with executing(here):
        await receipts(here, 1)
    await forge(here, command, Outcome.SUCCEEDED)
    records = [*await here.records("command"), *await here.records("receipt")]
    assert command_histories(records)[command.id].state == "failed"
    assert [a.state for a in await here.records("audit") if isinstance(a, AuditRecord)][-1] == (
        "failed"
    )
