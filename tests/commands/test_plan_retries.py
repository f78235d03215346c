"""Which commands may be sent again, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.commands.history import CommandHistory
from bridge.commands.manual.plan_retries import obstacle_to_retry, plan_retries
from bridge.commands.manual.retry import RetryRequest, retry_id
from bridge.model.system_records import Target
from tests.agent.sqlite_erp import COMMANDS
from tests.commands.test_history import THEN, command, failed

NOW = THEN + timedelta(hours=1)


DECLARED = {spec.qualified: spec for spec in COMMANDS}


REQUEST = RetryRequest("person-jo", "trigger fixed", None, NOW)


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
