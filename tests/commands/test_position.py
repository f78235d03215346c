"""Receipts say where in the system's history the effect stands, where that can be told."""

from __future__ import annotations

import pytest

from bridge.commands.receipts.builder import position_of
from bridge.connector import Done
from bridge.model.errors import RetryLater
from bridge.model.position import parse_position
from bridge.model.receipt import Receipt
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.rpc_writer import RpcWriter
from tests.commands.sqlite_executor import REASON, executing, receipts, sealed, send
from tests.commands.test_intent import final_codes


class Third:
    """Epochs of a system in its third; `away` as often as it says."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.open = True

    async def now(self) -> int | None:
        if self.away:
            self.away -= 1
            raise RetryLater("the log is away")
        return 3

    async def close(self) -> None:
        self.open = False


@pytest.mark.parametrize(
    ("done", "epoch", "wanted"),
    [
        (Done(1, position=0xAB), 3, "0003-00000000000000AB-FFFFFFFFFF"),
        (Done(1, position=0xAB), None, None),
        (Done(1), 3, None),
        (Done(1, position=-1), 3, None),
    ],
)
def test_a_position_needs_the_systems_word_and_captures(
    done: Done, epoch: int | None, wanted: str | None
) -> None:
    assert position_of(done, epoch) == wanted


async def test_a_receipt_has_the_position_at_which_its_effect_is_there(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    first, missing = sealed("note_order", args=REASON), sealed("note_order", "9", args=REASON)
    await send(here, first, missing)
    epochs = Third()
    async with executing(here, epochs=epochs):
        receipt_by_id = await receipts(here, 2)
    assert not epochs.open
    with here.erp() as erp:
        ((commit,),) = erp.execute("select max(seq) from bridge_journal").fetchall()
    where = parse_position(receipt_by_id[first.id].position or "")
    assert where.epoch == 3
    # What a failed command did is undone, its place in the journal included.
    assert where.commit == commit
    assert receipt_by_id[missing.id].position is None


async def test_while_the_log_is_away_what_has_happened_is_told_without_its_place(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    command = sealed("note_order", args=REASON)
    await send(here, command)
    async with executing(here, epochs=Third(away=1)):
        receipt_by_id = await receipts(here, 1)
    assert (receipt_by_id[command.id].outcome, receipt_by_id[command.id].position) == (
        "succeeded",
        None,
    )
    assert receipt_by_id[command.id].version is not None


async def test_a_system_that_tells_no_position_gets_none(here: ErpHarness) -> None:
    command = sealed("note_order", args=REASON)
    await send(here, command)
    async with executing(here, writer=RpcWriter(here.folder), ledger=False, epochs=Third()):
        assert await final_codes(here, command) == ["succeeded"]
    final_receipts = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    assert {receipt.position for receipt in final_receipts} == {None}
