"""Which tests of the suite a connector is held to."""

from __future__ import annotations

from collections import Counter

import pytest

from bridge.kit.connector import ConnectorSuite
from bridge.kit.connector.base import ConnectorTests
from bridge.kit.connector.polled_changes import PolledChangeTests
from bridge.kit.connector.server_lies import ServerLieTests
from connectors import journal
from tests.connectors.polled import fake


def held_to(suite: type) -> set[str]:
    names = {name for name in dir(suite) if name.startswith("test_")}
    return {name for name in names if getattr(suite, name) is not None}


def test_no_part_of_the_suite_hides_a_test_of_another() -> None:
    parts = [part for part in ConnectorSuite.__mro__ if issubclass(part, ConnectorTests)]
    names = Counter(name for part in parts for name in vars(part) if name.startswith("test_"))
    assert not [name for name, times in names.items() if times > 1]


def test_a_source_of_every_change_is_not_held_to_the_weaker_promise_besides() -> None:
    class JournalSuite(ConnectorSuite):
        connector = journal.connector

    weaker = held_to(PolledChangeTests)
    assert weaker
    assert not held_to(JournalSuite) & weaker
    # What else is left out: TRUNCATE, which triggers don't tell, and what only weaker ones promise, or
    # those to servers that can be made to lie.
    left_out = held_to(ConnectorSuite) - held_to(JournalSuite) - weaker - held_to(ServerLieTests)
    assert left_out == {
        "test_a_truncate_is_told_in_its_place",
        "test_without_the_capability_watermarks_are_refused",
        "test_without_a_ledger_a_probe_tells_what_has_happened_and_what_has_not",
    }


def test_a_source_that_cannot_tell_every_change_is_held_to_all_of_the_weaker_promise() -> None:
    class PolledSuite(ConnectorSuite):
        connector = fake.connector
        limitations = frozenset({"rollback"})

    assert held_to(PolledChangeTests) <= held_to(PolledSuite)
    assert "test_a_history_rebuilds_the_table_step_by_step" not in held_to(PolledSuite)
    assert "test_what_is_not_declared_is_refused" in held_to(PolledSuite)


def test_what_the_legacy_system_cannot_do_is_left_out() -> None:
    class LimitedSuite(ConnectorSuite):
        connector = fake.connector
        limitations = frozenset({"rekey", "rollback"})

    assert "test_a_row_that_gets_another_key_goes_and_comes" not in held_to(LimitedSuite)
    assert "test_a_rolled_back_transaction_is_never_told" not in held_to(LimitedSuite)


def test_a_connector_is_held_to_what_its_server_may_lie_about() -> None:
    class LyingSuite(ConnectorSuite):
        connector = fake.connector
        lies = ("filters ignored",)

    class HonestSuite(ConnectorSuite):
        connector = fake.connector

    assert "test_a_snapshot_leaves_no_row_out_or_is_refused" in held_to(LyingSuite)
    assert not held_to(ServerLieTests) & held_to(HonestSuite)


def test_a_suite_without_its_connector_is_refused() -> None:
    with pytest.raises(
        TypeError, match="SuiteWithoutConnector has to say which connector it tests: connector = "
    ):

        class SuiteWithoutConnector(ConnectorSuite):
            pass
