"""A log, a ledger and a journal that an earlier commit recorded are continued without a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorded.life import RecordedBridge, second_life
from tests.recorded.observe import legacy_content, whole_content
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
    for topic, by_key in expected["log"].items():
        assert content["log"][topic] == by_key, topic
