from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.commands.contract import (
    AFTER_LEGACY,
    AFTER_RECEIPTS,
    BEFORE_RECEIPTS,
)
from bridge.connector import Done, Effect, System
from bridge.log.port import Entry
from bridge.model.errors import OutcomeUnknown, RetryLater
from bridge.model.receipt import Outcome
from bridge.model.system_records import AuditRecord, DeadLetter, target
from bridge.observe import CommandMoved, Notice
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.sql.write.writer import SqlWriter
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.commands.kill_executor import killed
from tests.commands.sqlite_executor import HEIR, REASON, executing, orders, receipts, sealed, send
from tests.waiting import until


async def test_a_command_takes_effect_and_gets_its_receipt_with_the_rows_new_version(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    command = sealed("note_order", args=REASON)
    await send(here, command)
    async with executing(here):
        receipt_by_id = await receipts(here, 1)
    receipt = receipt_by_id[command.id]
    assert (receipt.outcome, receipt.code, receipt.message) == (Outcome.SUCCEEDED, None, None)
    assert orders(here)["1"] == (5, None, "late")
    again = sealed("block_order", args=REASON, expect=receipt.version)
    assert receipt.version
    assert again.expect == receipt.version


async def test_every_state_of_a_command_is_audited_in_order(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("note_order", args=REASON)
    await send(here, command)
    notices: list[Notice] = []

    def moves() -> list[str]:
        return [n.state for n in notices if isinstance(n, CommandMoved)]

    async with executing(here, observer=notices.append):
        await receipts(here, 1)
        await until(lambda: len(moves()) == 4)
    trail = [a for a in await here.records("audit") if isinstance(a, AuditRecord)]
    states = ["received", "validated", "executing", "succeeded"]
    assert [a.state for a in trail] == states
    assert {a.digest for a in trail} == {command.digest}
    assert [a.by for a in trail] == ["tester", "executor", "executor", "executor"]
    assert moves() == states


async def test_many_commands_share_one_legacy_transaction_and_one_failure_spares_the_rest(
    here: ErpHarness,
) -> None:
    for number in range(1, 51):
        here.order(number, 1, 5)
    commands = [sealed("note_order", str(n), args=REASON) for n in range(1, 61)]
    await send(here, *commands, sealed("break_order", "3"))
    batches: list[int] = []

    class BatchCountingWriter(SqlWriter):
        async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
            batches.append(len(effects))
            return await super().execute(effects)

    async with executing(here, writer=BatchCountingWriter(here.system, SqliteJournal().sql)):
        receipt_by_id = await receipts(here, 61)
    outcomes = [(receipt_by_id[c.id].outcome, receipt_by_id[c.id].code) for c in commands]
    assert outcomes == [("succeeded", None)] * 50 + [("failed", "not_found")] * 10
    broken = receipt_by_id[sealed("break_order", "3").id]
    assert (broken.outcome, broken.code) == (Outcome.FAILED, "legacy_error")
    assert "NOT NULL" in (broken.message or "")
    assert sum(batches) == 61
    assert len(batches) < 10


async def test_commands_of_one_key_take_effect_in_order(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    commands = [sealed("note_order", args={"reason": str(n)}, key=f"tester/{n}") for n in range(20)]
    await send(here, *commands)
    async with executing(here):
        await receipts(here, 20)
    assert orders(here)["1"] == (5, None, "19")


async def test_a_command_waits_when_a_person_has_to_approve_it(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    waiting, quick = sealed("cancel_order"), sealed("note_order", args=REASON)
    await send(here, waiting, quick)
    async with executing(here):
        receipt_by_id = await receipts(here, 1)
    assert list(receipt_by_id) == [quick.id]
    trail = [a for a in await here.records("audit") if isinstance(a, AuditRecord)]
    states = [(a.state, a.message) for a in trail if a.command_id == waiting.id]
    assert [state for state, _ in states] == ["received", "validated", "awaiting_approval"]
    assert "a person has to approve it" in (states[-1][1] or "")
    assert orders(here)["1"]


async def test_expect_is_compared_under_the_lock_and_a_conflict_gives_the_current_version(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    with here.erp() as erp:
        [raw] = erp.execute("select * from vbak").fetchall()
    table = here.tables["sales_order"]
    row = table.row(here.shapes["vbak"], raw)
    from bridge.model.event import row_version

    version = row_version(table.entity, row, ("status", "total"))
    here_now = sealed("block_order", args=REASON, expect=str(version), key="one")
    stale = sealed("block_order", args=REASON, expect="0" * 64, key="two")
    gone = sealed("block_order", "2", args=REASON, expect=str(version), key="three")
    await send(here, here_now, stale, gone)
    async with executing(here):
        receipt_by_id = await receipts(here, 3)
    assert receipt_by_id[here_now.id].outcome == Outcome.SUCCEEDED
    # The block is not among the guards, so that the version is still the same.
    assert receipt_by_id[here_now.id].version == version
    conflict = receipt_by_id[stale.id]
    assert (conflict.outcome, conflict.code) == (Outcome.FAILED, "conflict")
    assert conflict.version == version
    assert (receipt_by_id[gone.id].outcome, receipt_by_id[gone.id].code) == (
        Outcome.FAILED,
        "not_found",
    )


async def test_an_expired_command_is_not_executed(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    late = sealed("note_order", args=REASON, deadline=datetime.now(UTC) - timedelta(minutes=1))
    await send(here, late)
    async with executing(here):
        assert (await receipts(here, 1))[late.id].outcome == Outcome.EXPIRED
    assert orders(here)["1"] == (5, None, None)


async def test_a_record_that_is_no_command_is_set_aside_and_the_rest_goes_on(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    good = sealed("note_order", args=REASON)
    entry = here.codec.entry("command", target("erp", "sales_order", {"order_no": "1"}), good)
    for value in (b"nonsense", (entry.value or b"")[:9], None):
        await here.log.append(here.codec.topic("command"), [Entry(entry.key, value)])
    await send(here, good)
    async with executing(here):
        await receipts(here, 1)
    letters = [d for d in await here.records("dead") if isinstance(d, DeadLetter)]
    assert [(d.kind, d.source, d.value) for d in letters][:1] == [("command", "erp", b"nonsense")]
    assert len(letters) == 3


class Flaky(SqlWriter):
    """A Writer whose answers get lost, or whose system is away, on the way to the real one."""

    def __init__(self, system: System, troubles: list[Exception], *, after: bool) -> None:
        super().__init__(system, SqliteJournal().sql)
        self._troubles = troubles
        self._after = after
        self.execution_count = 0

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        self.execution_count += 1
        if self._after:
            answer = await super().execute(effects)
            if self._troubles:
                raise self._troubles.pop(0)
            return answer
        if self._troubles:
            raise self._troubles.pop(0)
        return await super().execute(effects)


@pytest.mark.parametrize("times", [1, 6])
async def test_a_commit_whose_answer_was_lost_is_asked_for_and_takes_effect_once(
    here: ErpHarness, times: int
) -> None:
    here.order(1, 1, 5)
    command = sealed("raise_total")
    await send(here, command)
    lost: list[Exception] = [OutcomeUnknown("the answer was lost") for _ in range(times)]
    flaky = Flaky(here.system, lost, after=True)
    async with executing(here, writer=flaky):
        receipt_by_id = await receipts(here, 1)
    assert receipt_by_id[command.id].outcome == Outcome.SUCCEEDED
    assert orders(here)["1"][0] == 6
    assert flaky.execution_count == times + 1


async def test_commands_wait_while_the_legacy_system_is_away(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    commands = [sealed("raise_total", key=f"tester/{n}") for n in range(5)]
    await send(here, *commands)
    away: list[Exception] = [RetryLater("the ERP is away") for _ in range(3)]
    flaky = Flaky(here.system, away, after=False)
    async with executing(here, writer=flaky):
        await receipts(here, 5)
    assert orders(here)["1"][0] == 10


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", [AFTER_LEGACY, BEFORE_RECEIPTS, AFTER_RECEIPTS])
async def test_killed_at_a_step_the_command_takes_effect_once_and_has_one_receipt(
    tmp_path: Path, step: str
) -> None:
    async with open_erp(tmp_path, partitions=1) as here:
        here.order(1, 1, 5)
        command = sealed("raise_total")
        await send(here, command)
    killed(tmp_path, step)
    with sqlite3.connect(tmp_path / "erp.db") as erp:
        assert erp.execute("select netwr from vbak").fetchone() == (6,)
    async with open_erp(tmp_path, partitions=1) as here, executing(here, session=HEIR):
        receipt_by_id = await receipts(here, 1)
        await send(here, sealed("note_order", args=REASON))
        receipt_by_id = await receipts(here, 2)
    assert receipt_by_id[command.id].outcome == Outcome.SUCCEEDED
    assert orders(here)["1"] == (6, None, "late")
