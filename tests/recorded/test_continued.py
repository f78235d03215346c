"""A log, a ledger and a journal that an earlier commit recorded are continued without a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.recorded.life import RecordedBridge, second_life
from tests.recorded.observe import CHANGE_TOPICS, legacy_content, whole_content
from tests.recorded.recording import recorded_content, unpack

pytestmark = pytest.mark.usefixtures("processes")


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedBridge:
    """A copy of the recorded bridge, which has lived its first life."""
    return RecordedBridge(unpack(tmp_path / "demo"))


def test_setup_finds_everything_as_it_has_to_be(recorded: RecordedBridge) -> None:
    before = legacy_content(recorded.folder / "var" / "erp.db")
    recorded.do("setup", "erp", "--yes")
    assert legacy_content(recorded.folder / "var" / "erp.db") == before


@pytest.mark.slow
def test_its_second_life_leaves_what_the_earlier_commit_left(recorded: RecordedBridge) -> None:
    second_life(recorded)
    content, expected = whole_content(recorded.folder), recorded_content()
    for part in ("names", "checkpoint", "legacy"):
        assert content[part] == expected[part], part
    assert content["log"].keys() == expected["log"].keys()
    clear_new_transactions(content["log"])
    for topic, by_key in expected["log"].items():
        assert content["log"][topic] == by_key, topic


def clear_new_transactions(log: dict[str, Any]) -> None:
    """Change records of the first life have no transaction, those of the second one the journal's
    number, which is also the commit position: those are cleared, as the earlier commit left them.
    """
    values = [
        record["value"]
        for topic in CHANGE_TOPICS
        for records in log[topic].values()
        for record in records
        if record["value"] is not None and record["value"]["op"] != "read"
    ]
    first, second = (
        [value for value in values if (value["transaction"] is None) == is_first]
        for is_first in (True, False)
    )
    assert first
    assert second
    assert max(value["position"] for value in first) < min(value["position"] for value in second)
    for value in second:
        assert value["transaction"] == transaction_at(value["position"])
        value["transaction"] = None
    positions = {value["position"] for value in second}
    for letter in (record["value"] for records in log["dead"].values() for record in records):
        if letter and letter["event_id"] and letter["event_id"].removeprefix("erp:") in positions:
            # The event within it: null is one byte, a text two more than its length.
            size = int(letter["value"].strip("<> bytes"))
            text = transaction_at(letter["event_id"])
            letter["value"] = f"<{size - 1 - len(text)} bytes>"


def transaction_at(position: str) -> str:
    """The journal's number in a position or an event's id."""
    return str(int(position.split("-")[1], 16))
