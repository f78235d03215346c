"""Which commands may be sent again, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.commands.history import CommandFilter, CommandHistory, command_histories
from bridge.commands.manual.plan_retries import obstacle_to_retry, plan_retries
from bridge.commands.manual.retry import RetryRequest, retry_id
from bridge.commands.receipts.builder import refused
from bridge.model.command import Command, CommandRecord, seal
from bridge.model.receipt import Outcome
from bridge.model.system_records import Target
from tests.agent.sqlite_erp import COMMANDS

THEN = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)
DECLARED = {spec.qualified: spec for spec in COMMANDS}
REQUEST = RetryRequest("person-jo", "trigger fixed", None, NOW)


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


def test_a_failed_command_is_sent_again_for_the_same_row() -> None:
    history = failed(command("1"))
    assert history.request is not None

    [planned] = plan_retries([history], {history.id: history}, DECLARED, REQUEST)

    assert planned.obstacle == ""
    assert planned.command is not None
    assert planned.command.old_id == history.id
    assert planned.command.record.id == planned.new_id == retry_id(history.request)
    assert planned.command.target == Target("erp", "sales_order", '{"order_no":"1"}')


def test_a_command_that_was_sent_again_before_is_not_sent_a_third_time() -> None:
    history = failed(command("1"))
    assert history.request is not None
    again = CommandHistory(retry_id(history.request))

    [planned] = plan_retries([history], {history.id: history, again.id: again}, DECLARED, REQUEST)

    assert planned.command is None
    assert planned.obstacle == "was sent again before: waiting"
    assert planned.new_id == again.id


@pytest.mark.parametrize("code", ["key_reused", "bad_target"])
def test_a_record_that_only_claims_an_id_is_not_sent_again(code: str) -> None:
    history = failed(command("1"), code)
    obstacle = obstacle_to_retry(history, {}, DECLARED["erp.note_order"], REQUEST)
    assert "does not hold together" in obstacle


def test_a_command_without_its_record_or_its_declaration_is_not_sent_again() -> None:
    record = command("1")
    without_record = replace(failed(record), request=None)
    assert "not in the log" in obstacle_to_retry(without_record, {}, None, REQUEST)
    assert "not declared" in obstacle_to_retry(failed(record), {}, None, REQUEST)


def test_a_deadline_that_is_over_needs_another_one() -> None:
    history = failed(command("1", deadline=NOW))
    spec = DECLARED["erp.note_order"]
    assert "deadline is over" in obstacle_to_retry(history, {}, spec, REQUEST)
    later = replace(REQUEST, deadline=NOW + timedelta(seconds=1))
    assert obstacle_to_retry(history, {}, spec, later) == ""


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
