"""Commands of unknown outcome, and how a person settles them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bridge.commands.codes import outcome_headers
from bridge.commands.receipts.builder import intent, unknown
from bridge.config import load
from bridge.model import headers
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.system_records import target
from bridge.wiring import open_bridge
from tests.cli.bridge_folder import BridgeFolder

THEN = datetime.now(UTC) - timedelta(minutes=1)
KEY = {"order_no": "4711"}


def asked_for(bridge_folder: BridgeFolder, *, given_up: bool) -> CommandRecord:
    """A command that an executor announced, and (given up) of which nobody could tell."""
    record = seal(
        Command("erp.block_order", KEY, {"reason": "x"}),
        KEY,
        agent="person-bot",
        requested_at=THEN,
        idempotency_key="ticket",
    )
    about = target("erp", "sales_order", KEY)
    announced = intent(record, THEN)
    words = [(announced, [*outcome_headers(announced, record.digest), (headers.INTENT, b"gone/1")])]
    if given_up:
        nobody = unknown(record, about, "the call timed out", THEN)
        words.append((nobody, outcome_headers(nobody, record.digest)))

    async def write() -> None:
        async with open_bridge(load(bridge_folder.config)) as bridge:
            codec = bridge.codec
            await bridge.log.append(codec.topic("command"), [codec.entry("command", about, record)])
            await bridge.log.append(
                codec.topic("receipt"),
                [
                    codec.entry("receipt", about, word, record_headers)
                    for word, record_headers in words
                ],
            )

    asyncio.run(write())
    return record


def test_a_command_of_unknown_outcome_is_listed_and_settled_by_a_person(
    lived: BridgeFolder,
) -> None:
    record = asked_for(lived, given_up=True)
    (row,) = lived.call("commands", "--state", "unknown", "--json").rows
    assert (row["id"], row["state"], row["code"]) == (record.id, "unknown", "unknown")
    assert f"bridgectl commands settle {record.id} --as" in row["message"]
    words = ("commands", "settle", record.id, "--as", "failed", "--reason", "no block to be seen")
    assert lived.call(*words, "--by", "Ann").out == f"{record.id} is settled: failed\n"
    (command,) = lived.call("commands", "show", record.id, "--json").rows
    assert (command["state"], command["code"]) == ("failed", "settled")
    assert command["message"] == "person-ann looked: no block to be seen"
    assert command["steps"][-1]["by"] == "person-ann"
    again = lived.call(*words)
    assert again.code == 1
    assert "is not of unknown outcome: its receipt says failed settled" in again.err


def test_a_command_in_progress_is_left_to_its_executor(lived: BridgeFolder) -> None:
    record = asked_for(lived, given_up=False)
    words = ("commands", "settle", record.id, "--as", "failed", "--reason", "x")
    answer = lived.call(*words)
    assert answer.code == 1
    assert "its receipt says unknown_outcome in_progress" in answer.err
    missing = lived.call("commands", "settle", "bot:none", "--as", "failed", "--reason", "x")
    assert missing.code == 3
    assert "commands --state unknown" in missing.err


@pytest.mark.usefixtures("processes")
def test_who_waits_for_a_receipt_waits_past_an_intent(lived: BridgeFolder) -> None:
    record = asked_for(lived, given_up=False)
    with lived.running():
        words = ("commands", "send", "block_order", "--key", "4711", "--arg", "reason=x")
        same = ("--by", "bot", "--idempotency-key", "ticket", "--wait", "60", "--json")
        answer = lived.call(*words, *same)
    sent, ended = answer.rows
    assert answer.code == 1
    assert sent["id"] == ended["id"] == record.id
    assert (ended["outcome"], ended["code"]) == ("unknown_outcome", "unknown")
    # The demo's system has a ledger, so that it can't have been begun there.
    assert "it was started while its system had no ledger" in ended["message"]
