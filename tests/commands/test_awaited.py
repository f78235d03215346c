"""Which receipt ends the wait of somebody who has sent a command."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.commands.codes import UNKNOWN
from bridge.commands.receipts.awaited import answers_command, ends_wait
from bridge.commands.receipts.builder import refused
from bridge.log.port import Record
from bridge.model import headers
from bridge.model.command import Command, seal
from bridge.model.receipt import Outcome

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
COMMAND = seal(
    Command("erp.note_order", {"order_no": "1"}, {"reason": "x"}),
    {"order_no": "1"},
    agent="person-jo",
    requested_at=AT,
    idempotency_key="k",
    handler="bridgectl",
)


def record(timestamp: int, **texts: str) -> Record:
    names = {"id": headers.ID, "digest": headers.DIGEST}
    pairs = [(names[name], text.encode()) for name, text in texts.items()]
    return Record("acme.receipts", 0, 0, timestamp, None, b"", pairs)


def test_a_receipt_of_the_same_content_answers_whenever_it_was_written() -> None:
    assert answers_command(record(0, id=COMMAND.id, digest=COMMAND.digest), COMMAND)


def test_a_receipt_of_another_command_or_content_is_no_answer() -> None:
    assert not answers_command(record(AT_MS, id="other:x", digest=COMMAND.digest), COMMAND)
    assert not answers_command(record(AT_MS, id=COMMAND.id, digest="0" * 64), COMMAND)


@pytest.mark.parametrize(("timestamp", "answers"), [(AT_MS, True), (AT_MS - 1, False)])
def test_a_rejection_answers_only_what_was_sent_before_it(timestamp: int, *, answers: bool) -> None:
    assert answers_command(record(timestamp, id=COMMAND.id), COMMAND) is answers


@pytest.mark.parametrize(
    ("outcome", "code", "timestamp", "ends"),
    [
        (Outcome.SUCCEEDED, "ok", 0, True),
        (Outcome.REJECTED, "key_reused", 0, True),
        (Outcome.UNKNOWN_OUTCOME, "in_progress", AT_MS, False),
        (Outcome.UNKNOWN_OUTCOME, UNKNOWN, AT_MS, True),
        # Unknown since before the command was sent again: it is looked into once more.
        (Outcome.UNKNOWN_OUTCOME, UNKNOWN, AT_MS - 1, False),
    ],
)
def test_the_wait_ends_with_what_does_not_change_any_more(
    outcome: Outcome, code: str, timestamp: int, *, ends: bool
) -> None:
    receipt = refused(COMMAND, outcome, code, "", AT)
    assert ends_wait(receipt, timestamp, COMMAND) is ends
