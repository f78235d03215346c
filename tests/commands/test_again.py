"""A command that comes again is carried out once and has one receipt, however it ended."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.outcome_table import recorded_outcome
from bridge.log.port import Entry, Log
from bridge.model import headers
from bridge.model.agent_name import OPERATOR_HANDLER
from bridge.model.command import Command, CommandRecord, command_id, seal
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import Target, target
from bridge.observe import CommandMoved, Notice
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.sqlite_executor import REASON, executing, orders, receipts, sealed, send
from tests.waiting import WAIT_TIMEOUT_S, until

ENDS = {outcome.value for outcome in Outcome}


async def carried_out(
    here: ErpHarness, *records: CommandRecord, replayed: bool = False
) -> list[tuple[str, bool]]:
    """Send these to an executor, and how it tells that each ended: the state, and whether that
    was so before.
    """
    ends: list[tuple[str, bool]] = []

    def observe(notice: Notice) -> None:
        if isinstance(notice, CommandMoved) and notice.state in ENDS:
            ends.append((str(notice.state), notice.repeated))

    await send(here, *records, replayed=replayed)
    async with executing(here, observer=observe):
        await until(lambda: len(ends) >= len(records))
    assert len(ends) == len(records)
    return ends


async def codes(here: ErpHarness) -> list[str | None]:
    """Of every receipt, the code, or the outcome where there is none."""
    receipts_so_far = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    return [r.code or r.outcome.value for r in receipts_so_far]


async def test_a_command_that_failed_is_neither_tried_again_nor_answered_again(
    here: ErpHarness,
) -> None:
    command = sealed("note_order", args=REASON)
    assert await carried_out(here, command) == [("failed", False)]
    here.order(1, 1, 5)
    assert await carried_out(here, command) == [("failed", True)]
    assert await codes(here) == ["not_found"]
    assert orders(here)["1"] == (5, None, None)


async def test_an_id_that_failed_stands_for_its_content_for_good(here: ErpHarness) -> None:
    failed = sealed("note_order", args=REASON, key="same")
    other = sealed("note_order", args={"reason": "better"}, key="same")
    elsewhere = sealed("note_order", "2", args=REASON, key="same")
    await carried_out(here, failed)
    here.order(1, 1, 5)
    here.order(2, 1, 5)
    assert await carried_out(here, other, elsewhere) == [("rejected", False)] * 2
    assert await codes(here) == ["not_found", "key_reused", "key_reused"]
    assert orders(here) == {"1": (5, None, None), "2": (5, None, None)}


@pytest.mark.parametrize(
    "first",
    [
        sealed("note_order", args=REASON),
        sealed("note_order", args={"reason": "x" * 61}),
        sealed("nothing"),
        sealed("note_order", args=REASON, deadline=datetime.now(UTC) - timedelta(minutes=1)),
    ],
    ids=["failed", "bad args", "unknown", "expired"],
)
async def test_the_same_command_twice_in_one_batch_is_answered_once(
    here: ErpHarness, first: CommandRecord
) -> None:
    ends = await carried_out(here, first, replace(first, requested_at=datetime.now(UTC)))
    assert [repeated for _, repeated in ends] == [False, True]
    assert len(await codes(here)) == 1


async def test_a_record_that_only_claims_an_id_does_not_settle_it(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    command = sealed("note_order", args=REASON)
    forged = replace(command, idempotency_key="another's")
    unfit = replace(command, digest="0" * 64)
    assert command.id != command_id(forged.agent, forged.idempotency_key)
    ends = await carried_out(here, forged, unfit, command)
    assert ends == [("rejected", False), ("rejected", False), ("succeeded", False)]
    assert orders(here)["1"] == (5, None, "late")
    assert await carried_out(here, unfit, command) == [("rejected", False), ("succeeded", True)]
    assert await codes(here) == ["bad_id", "bad_digest", "succeeded", "bad_digest"]


@pytest.mark.parametrize(
    "record_target",
    [
        target("erp", "sales_order", {"order_no": "2"}),
        target("erp", "customer", {"order_no": "1"}),
        Target("erp", "sales_order", '{"order_no": "1"}'),
    ],
    ids=["another row", "another entity", "another form"],
)
async def test_a_copy_under_another_log_key_is_refused_and_does_not_end_the_command(
    here: ErpHarness, record_target: Target
) -> None:
    """Else it would take effect outside of its row's order, and its receipt name another row."""
    here.order(1, 1, 5)
    here.order(2, 1, 5)
    command = sealed("note_order", args=REASON)
    await here.log.append(
        here.codec.topic("command"), [here.codec.entry("command", record_target, command)]
    )
    async with executing(here):
        assert (await receipts(here, 1))[command.id].code == "bad_target"
    assert orders(here) == {"1": (5, None, None), "2": (5, None, None)}
    assert await carried_out(here, command) == [("succeeded", False)]
    assert orders(here) == {"1": (5, None, "late"), "2": (5, None, None)}


async def test_a_copy_as_an_agent_would_send_it_does_not_end_what_a_person_asked_for(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    command = replace(
        seal(
            Command("erp.note_order", {"order_no": "1"}, REASON),
            {"order_no": "1"},
            agent="person-ann",
            requested_at=datetime.now(UTC),
            idempotency_key="ann/1",
        ),
        handler=OPERATOR_HANDLER,
    )
    await send(here, replace(command, handler="check", caused_by="erp:1"))
    async with executing(here):
        assert (await receipts(here, 1))[command.id].code == "bad_agent"
    assert await carried_out(here, command) == [("succeeded", False)]


async def test_receipts_are_read_once_however_many_batches_come(here: ErpHarness) -> None:
    read = 0

    class ReadCountingLog:
        """The log, with what its readers hand out counted."""

        def __init__(self, real: Log) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def reader(self, offsets: Any, *, report_removed: bool = False) -> Any:
            reader = await self._real.reader(offsets, report_removed=report_removed)
            plain = reader.read

            async def counted(limit: int, timeout: float) -> Any:
                nonlocal read
                records = await plain(limit, timeout)
                read += len(records)
                return records

            reader.read = counted  # type: ignore[method-assign]
            return reader

    commands = [sealed("note_order", str(n), args=REASON) for n in range(30)]
    await carried_out(here, *commands)
    receipt_index = ReceiptIndex(ReadCountingLog(here.log), here.codec)
    await receipt_index.catch_up()
    await receipt_index.catch_up()
    assert read == 30
    late = sealed("note_order", "40", args=REASON)
    assert receipt_index.get(late.id) is None
    await carried_out(here, late)
    await receipt_index.catch_up()
    await receipt_index.close()
    assert read == 31
    expected = [recorded_outcome(command.digest, Outcome.FAILED) for command in [*commands, late]]
    assert [receipt_index.get(command.id) for command in [*commands, late]] == expected


async def test_the_same_key_with_another_content_is_rejected_and_the_same_content_done_once(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    first = sealed("raise_total", key="same")
    other = sealed("note_order", args=REASON, key="same")
    await send(here, first, first, other)
    async with executing(here):
        await until(lambda: orders(here)["1"][0] == 6)
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while len(await here.records("receipt")) < 2:
                await asyncio.sleep(0.02)
        await send(here, first)
        await send(here, sealed("note_order", args=REASON, key="another"))
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while len(await here.records("receipt")) < 3:
                await asyncio.sleep(0.02)
    final_receipts = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    assert [(r.outcome, r.code) for r in final_receipts] == [
        (Outcome.SUCCEEDED, None),
        (Outcome.REJECTED, "key_reused"),
        (Outcome.SUCCEEDED, None),
    ]
    assert orders(here)["1"] == (6, None, "late")


async def test_a_replayed_command_that_failed_is_not_tried_again(here: ErpHarness) -> None:
    command = sealed("note_order", args=REASON)
    await send(here, command)
    async with executing(here):
        assert (await receipts(here, 1))[command.id].code == "not_found"
    here.order(1, 1, 5)
    new = sealed("note_order", args={"reason": "new"}, key="new")
    await send(here, command, new, replayed=True)
    async with executing(here):
        receipt_by_id = await receipts(here, 2)
    assert set(receipt_by_id) == {command.id, new.id}
    assert orders(here)["1"] == (5, None, "new")


async def test_a_receipt_of_a_newer_version_is_kept_in_mind_for_its_command(
    here: ErpHarness,
) -> None:
    """Left out, its command would be carried out again; raised, every executor would stand still."""
    record_headers = [
        (headers.ID, b"bot:1"),
        (headers.DIGEST, b"x"),
        (headers.OUTCOME, b"postponed"),
    ]
    await here.log.append(here.codec.topic("receipt"), [Entry(b"k", b"v", record_headers)])
    receipt_index = ReceiptIndex(here.log, here.codec)
    await receipt_index.catch_up()
    assert re.search(
        r"offset 0 of .*receipts .*'postponed'", receipt_index.unreadable_outcome("bot:1")
    )
    assert receipt_index.unreadable_outcome("bot:2") == ""
    record_headers[2] = (headers.OUTCOME, b"succeeded")
    await here.log.append(here.codec.topic("receipt"), [Entry(b"k", b"v", record_headers)])
    await receipt_index.catch_up()
    assert receipt_index.unreadable_outcome("bot:1") == ""
    await receipt_index.close()
