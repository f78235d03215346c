"""Commands that ended without effect, sent again: each once, however often that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bridge.commands.codes import HELD_BACK, outcome_headers
from bridge.commands.receipts.builder import refused
from bridge.config import load
from bridge.model.command import Command, CommandRecord, command_id, seal
from bridge.model.receipt import Outcome
from bridge.model.system_records import AuditRecord, target
from bridge.wiring import open_bridge
from tests.cli.bridge_folder import BridgeFolder

NOW = datetime.now(UTC)
THEN = NOW - timedelta(minutes=1)


def asked_for(
    bridge_folder: BridgeFolder,
    ends: Sequence[tuple[str, Outcome, str]],
    deadline: datetime | None = None,
) -> list[CommandRecord]:
    """Commands of these orders, and how each ended."""
    records = [
        seal(
            Command("erp.block_order", {"order_no": order}, {"reason": "x"}, deadline=deadline),
            {"order_no": order},
            agent="credit-watch",
            requested_at=THEN,
            idempotency_key=f"old/{order}/{outcome}/{code}",
            handler="check",
            caused_by="erp:1",
        )
        for order, outcome, code in ends
    ]

    async def write() -> None:
        async with open_bridge(load(bridge_folder.config)) as bridge:
            codec = bridge.codec
            for record, (order, outcome, code) in zip(records, ends, strict=True):
                about = target("erp", "sales_order", {"order_no": order})
                receipt = refused(record, outcome, code, "permission denied", THEN)
                record_headers = outcome_headers(receipt, record.digest)
                await bridge.log.append(
                    codec.topic("command"), [codec.entry("command", about, record)]
                )
                await bridge.log.append(
                    codec.topic("receipt"), [codec.entry("receipt", about, receipt, record_headers)]
                )

    asyncio.run(write())
    return records


@pytest.mark.usefixtures("processes")
def test_commands_of_a_code_are_sent_again_once_and_the_old_receipts_stay(
    lived: BridgeFolder,
) -> None:
    first, other, _ = asked_for(
        lived,
        [
            ("4711", Outcome.FAILED, "misconfigured"),
            ("4712", Outcome.FAILED, "misconfigured"),
            ("4713", Outcome.FAILED, "legacy_error"),
        ],
    )
    words = ("commands", "retry", "--state", "failed", "--code", "misconfigured", "--json")
    dry = lived.call(*words, "--dry-run").rows
    assert [(row["old"], row["sent"], row["why"]) for row in dry] == [
        (first.id, False, None),
        (other.id, False, None),
    ]
    answer = lived.call(*words, stdin="n\n")
    assert answer.code == 1
    sent = lived.call(*words, "--yes", "--by", "Ann", "--reason", "GRANT given").rows
    assert [row["sent"] for row in sent] == [True, True]
    again = lived.call(*words, "--yes", "--by", "Ben").rows
    assert [(row["sent"], row["why"]) for row in again] == [
        (False, "was sent again before: received")
    ] * 2
    new = [row["new"] for row in sent]
    assert [row["new"] for row in again] == [row["new"] for row in dry] == new
    with lived.running():
        lived.until("commands", "--id", new[1], "--state", "succeeded", "--json")
    rows = {row["id"]: row for row in lived.call("commands", "--json").rows}
    assert rows[first.id]["state"] == rows[other.id]["state"] == "failed"
    retried = rows[new[0]]
    assert retried["reason"] == f"retry of {first.id} by person-ann: GRANT given"
    assert (retried["agent"], retried["handler"], retried["key"]) == (
        "credit-watch",
        "bridgectl",
        {"order_no": "4711"},
    )
    assert (retried["steps"][0]["by"], retried["steps"][0]["code"]) == ("person-ann", "retry")
    assert len([row for row in rows.values() if (row["reason"] or "").startswith("retry")]) == 2


def test_what_cannot_be_sent_again_says_why(lived: BridgeFolder) -> None:
    late, forged = asked_for(
        lived,
        [("4711", Outcome.EXPIRED, "deadline"), ("4712", Outcome.REJECTED, "bad_agent")],
        THEN,
    )
    words = ("commands", "retry", "--state", "expired", "--state", "rejected", "--json")
    rows = {row["old"]: row for row in lived.call(*words, "--yes").rows}
    assert "its deadline is over" in rows[late.id]["why"]
    assert "does not hold together" in rows[forged.id]["why"]
    later = ("--deadline", "2099-01-01T00:00:00Z", "--yes")
    rows = {row["old"]: row for row in lived.call(*words, *later).rows}
    assert (rows[late.id]["sent"], rows[forged.id]["sent"]) == (True, False)
    assert lived.call("commands", "retry", "--yes").code == 2
    assert lived.call("commands", "retry", "--code", "nothing", "--yes").code == 3
    none = ("commands", "retry", "--state", "expired", "--system", "crm", "--json")
    assert lived.call(*none).code == 3


def test_what_is_unknown_waits_or_took_effect_is_never_sent_again(lived: BridgeFolder) -> None:
    records = asked_for(
        lived,
        [
            ("4711", Outcome.UNKNOWN_OUTCOME, "unknown"),
            ("4712", Outcome.UNKNOWN_OUTCOME, "unproven"),
            ("4713", Outcome.UNKNOWN_OUTCOME, HELD_BACK),
            ("4714", Outcome.UNKNOWN_OUTCOME, "in_progress"),
            ("4715", Outcome.SUCCEEDED, "reconciled"),
        ],
    )
    ids = [word for record in records for word in ("--id", record.id)]
    codes = [word for code in ("unknown", "unproven", HELD_BACK) for word in ("--code", code)]
    before = len(lived.call("commands", "--limit", "0", "--json").rows)
    assert lived.call("commands", "retry", *ids, "--yes", "--json").code == 3
    assert lived.call("commands", "retry", *codes, "--yes", "--json").code == 3
    assert lived.call("commands", "retry", "--state", "unknown", "--yes").code == 2
    assert len(lived.call("commands", "--limit", "0", "--json").rows) == before


def test_who_waits_for_a_held_command_is_told_what_it_waits_for(lived: BridgeFolder) -> None:
    held = AuditRecord(
        command_id("person-bot", "ticket"),
        "erp.block_order",
        "validated",
        "executor",
        datetime.now(UTC) + timedelta(seconds=5),
        HELD_BACK,
        "it has not been executed, and waits: permission denied for table vbak",
    )

    async def write() -> None:
        async with open_bridge(load(lived.config)) as bridge:
            entry = bridge.codec.entry("audit", held.command_id, held)
            await bridge.log.append(bridge.codec.topic("audit"), [entry])

    asyncio.run(write())
    words = ("commands", "send", "block_order", "--key", "4711", "--arg", "reason=x", "--by", "bot")
    answer = lived.call(*words, "--idempotency-key", "ticket", "--wait", "0.2")
    assert answer.code == 1
    assert "it is held back (it has not been executed, and waits: permission" in answer.err
