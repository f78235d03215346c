"""What only a person can find out."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from bridge.commands.codes import outcome_headers
from bridge.commands.manual.conclude import Verdict, conclude, write_conclusion
from bridge.commands.receipts.builder import intent, refused, unknown
from bridge.model import headers
from bridge.model.errors import Fenced, Rejected
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import AuditRecord, target
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.rpc_writer import RpcWriter, effects, timed_out
from tests.commands.sqlite_executor import executing, sealed, send
from tests.waiting import until

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
VERDICT = Verdict(Outcome.SUCCEEDED, "person-ann", "order 1 is there")


async def test_what_a_person_found_ends_the_command_for_good(here: ErpHarness) -> None:
    command = sealed("raise_total")
    order_target = target("erp", "sales_order", json.loads(command.key))
    await send(here, command)

    async def receipts() -> list[Receipt]:
        return [r for r in await here.records("receipt") if isinstance(r, Receipt)]

    async def is_reported() -> bool:
        return any(receipt.code == "unknown" for receipt in await receipts())

    blind = RpcWriter(here.folder, probes=False, lost=timed_out(1))
    async with executing(here, writer=blind, ledger=False):
        await until(is_reported)
    lifecycle = conclude(command, (await receipts())[-1], VERDICT, NOW)
    await write_conclusion(here.log, here.codec, here.bridge, order_target, lifecycle)
    last = (await receipts())[-1]
    assert (last.outcome, last.code) == (Outcome.SUCCEEDED, "settled")
    assert last.message == "person-ann looked: order 1 is there"
    trail = [a for a in await here.records("audit") if isinstance(a, AuditRecord)]
    assert (trail[-1].state, trail[-1].by, trail[-1].code) == ("succeeded", "person-ann", "settled")
    count = len(await receipts())
    later = sealed("note_order", args={"reason": "x"})
    await send(here, command, later)
    writer = RpcWriter(here.folder)
    async with executing(here, writer=writer, ledger=False):
        await until(lambda: effects(here.folder)[later.id] == 1)
    assert effects(here.folder)[command.id] == 1
    assert writer.probed == []
    assert [r.command_id for r in (await receipts())[count:]] == [later.id] * 2


async def test_of_two_people_who_settle_at_the_same_moment_one_does(here: ErpHarness) -> None:
    command = sealed("raise_total")
    order_target = target("erp", "sales_order", json.loads(command.key))
    last = unknown(command, order_target, "?", NOW)
    receipt_headers = outcome_headers(last, command.digest)
    entry = here.codec.entry("receipt", order_target, last, receipt_headers)
    await here.log.append(here.codec.topic("receipt"), [entry])
    ann = conclude(command, last, VERDICT, NOW)
    ben = conclude(command, last, Verdict(Outcome.FAILED, "person-ben", "not there"), NOW)
    ends = await asyncio.gather(
        *(
            write_conclusion(here.log, here.codec, here.bridge, order_target, lifecycle)
            for lifecycle in (ann, ben)
        ),
        return_exceptions=True,
    )
    with pytest.raises((Rejected, Fenced)):
        await write_conclusion(here.log, here.codec, here.bridge, order_target, ben)
    assert [type(end) for end in ends].count(type(None)) == 1
    assert len(await here.records("receipt")) == 2


async def test_what_an_executor_is_at_is_not_settled_in_the_meantime(here: ErpHarness) -> None:
    """It was sent again after a person had looked: that would be two ends, one of them wrong."""
    command = sealed("raise_total")
    order_target = target("erp", "sales_order", json.loads(command.key))
    last = unknown(command, order_target, "?", NOW)
    again = [(headers.INTENT, b"somebody/1")]
    for receipt, more in ((last, []), (intent(command, NOW), again)):
        receipt_headers = [*outcome_headers(receipt, command.digest), *more]
        entry = here.codec.entry("receipt", order_target, receipt, receipt_headers)
        await here.log.append(here.codec.topic("receipt"), [entry])
    lifecycle = conclude(command, last, VERDICT, NOW)
    with pytest.raises(Rejected, match="is being executed: wait for its receipt"):
        await write_conclusion(here.log, here.codec, here.bridge, order_target, lifecycle)
    entry = here.codec.entry("receipt", order_target, last, outcome_headers(last, command.digest))
    await here.log.append(here.codec.topic("receipt"), [entry])
    await write_conclusion(here.log, here.codec, here.bridge, order_target, lifecycle)
    assert len(await here.records("receipt")) == 4


@pytest.mark.parametrize(
    ("last", "expected_text"),
    [
        (None, "it has no receipt"),
        (intent(sealed("raise_total"), NOW), "its receipt says unknown_outcome in_progress"),
        (
            refused(sealed("raise_total"), Outcome.FAILED, "not_found", "gone", NOW),
            "its receipt says failed not_found",
        ),
    ],
)
def test_only_what_nobody_else_can_tell_is_settled_by_hand(
    last: Receipt | None, expected_text: str
) -> None:
    with pytest.raises(Rejected, match=expected_text):
        conclude(sealed("raise_total"), last, VERDICT, NOW)


def test_a_command_is_settled_as_succeeded_or_failed_alone() -> None:
    command = sealed("raise_total")
    last = unknown(command, target("erp", "sales_order", {"order_no": "1"}), "?", NOW)
    with pytest.raises(Rejected, match="as succeeded or failed"):
        conclude(command, last, Verdict(Outcome.EXPIRED, "person-ann", "x"), NOW)
