"""Moving a bridge to another log."""

from pathlib import Path

import pytest

from bridge.wiring.copy_log import next_request
from tests.cli.bridge_folder import BridgeFolder, order
from tests.waiting import wait_until


def move(bridge_folder: BridgeFolder, url: str) -> None:
    """One line of configuration."""
    text = bridge_folder.config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("log:"))
    bridge_folder.config.write_text(text.replace(line, f"log: {url}"))


@pytest.mark.usefixtures("processes")
def test_a_copied_log_goes_on_without_gap_or_repeat(lived: BridgeFolder) -> None:
    before = lived.call("tail", "sales_order", "--no-follow", "--json").rows
    (copied,) = lived.call("log", "copy", "--to", f"sqlite:///{lived.folder}/new.db", "--json").rows
    assert copied["remaining"] == 0
    assert copied["records"] > len(before)
    move(lived, "sqlite:///new.db")
    assert lived.call("tail", "sales_order", "--no-follow", "--json").rows != []
    with lived.running():
        lived.sql(order(4801, 3, 700))
        lived.until("tail", "sales_order", "--key", "4801", "--no-follow", "--json")
        # Requests are taken up in the new log as well.
        assert lived.call("snapshot", "customer", "--where", "customer_id=7", "--json").rows
    after = lived.call("tail", "sales_order", "--no-follow", "--json").rows
    ids = [row["id"] for row in after]
    assert sorted(ids) == sorted({row["id"] for row in before} | {ids[-1]})
    assert len(lived.call("commands", "--json").rows) == 1


def test_a_second_copy_carries_only_what_came_since(lived: BridgeFolder) -> None:
    to = ("log", "copy", "--to", f"sqlite:///{lived.folder}/new.db", "--json")
    lived.call(*to)
    again = lived.call(*to)
    assert (again.code, again.rows[0]["records"]) == (0, 0)


def test_a_bridge_that_runs_is_not_copied(bridge_runs: BridgeFolder) -> None:
    wait_until(
        lambda: any(row["members"] for row in bridge_runs.call("log", "groups", "--json").rows)
    )
    answer = bridge_runs.call("log", "copy", "--to", f"sqlite:///{bridge_runs.folder}/new.db")
    assert answer.code == 1
    assert "stop the bridge" in answer.err


def test_a_copy_to_nowhere_sensible_is_refused(lived: BridgeFolder, tmp_path: Path) -> None:
    assert lived.call("log", "copy", "--to", "ftp://somewhere").code == 2
    assert lived.call("log", "copy", "--to", str(tmp_path / "none.yaml")).code == 2
    assert lived.call("log", "copy", "--to", str(lived.config)).code == 2


def test_requests_that_are_not_taken_up_yet_are_found_behind_gaps() -> None:
    assert next_request(9, [3, 5, 9, 12], [0, 2, 4, 6], 8) == 4
    assert next_request(13, [3, 5, 9, 12], [0, 2, 4, 6], 8) == 8
    assert next_request(9, [9, 12], [0, 2, 4, 6], 8) == 4
    assert next_request(0, [], [], 0) == 0
