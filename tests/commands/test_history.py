"""What became of commands, and which of them are chosen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.commands.codes import HELD_BACK
from bridge.commands.history import CommandFilter, CommandHistory, command_histories
from bridge.commands.receipts.builder import refused
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.receipt import Outcome
from bridge.model.system_records import AuditRecord

THEN = datetime(2026, 1, 31, 10, tzinfo=UTC)


def command(order_no: str, deadline: datetime | None = None) -> CommandRecord:
    return seal(
        Command("erp.note_order", {"order_no": order_no}, {"reason": "x"}, deadline=deadline),
        {"order_no": order_no},
        agent="credit-watch",
        requested_at=THEN,
        idempotency_key=order_no,
        handler="check",
    )


def failed(record: CommandRecord, code: str = "legacy_error") -> CommandHistory:
    receipt = refused(record, Outcome.FAILED, code, "no", THEN)
    return CommandHistory(record.id, record, receipt=receipt)


def test_a_filter_without_fields_takes_every_command() -> None:
    assert CommandFilter().takes(CommandHistory("a:b"))


@pytest.mark.parametrize(
    "chosen",
    [
        CommandFilter(states=["failed", "expired"]),
        CommandFilter(codes=["legacy_error"]),
        CommandFilter(system="erp"),
        CommandFilter(name="erp.note_order"),
        CommandFilter(name="note_order"),
        CommandFilter(since=int(THEN.timestamp() * 1000)),
    ],
)
def test_a_filter_takes_what_has_each_of_its_fields(chosen: CommandFilter) -> None:
    assert chosen.takes(failed(command("1")))


@pytest.mark.parametrize(
    "other",
    [
        CommandFilter(states=["succeeded"]),
        CommandFilter(codes=["not_found"]),
        CommandFilter(ids=["a:b"]),
        CommandFilter(system="crm"),
        CommandFilter(name="erp.block_order"),
        CommandFilter(since=int(THEN.timestamp() * 1000) + 1),
    ],
)
def test_a_filter_leaves_out_what_differs_in_one_field(other: CommandFilter) -> None:
    assert not other.takes(failed(command("1")))


def test_a_command_without_a_receipt_waits() -> None:
    record = command("1")
    [history] = command_histories([record]).values()
    assert (history.state, history.name, history.at) == ("waiting", "erp.note_order", THEN)


def test_a_command_that_is_held_back_says_why() -> None:
    record = command("1")
    step = AuditRecord(
        command_id=record.id,
        name=record.name,
        state="validated",
        by="executor",
        at=THEN,
        code=HELD_BACK,
        message="no right to update",
        digest=record.digest,
    )
    assert CommandHistory(record.id, record, [step]).state_text == "held back (no right to update)"
    assert CommandHistory(record.id, record).state_text == "waiting"
