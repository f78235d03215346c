"""The log's file removed under a running bridge: everybody says so, nobody goes on without a word."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.bridge_folder import create_bridge_folder
from tests.waiting import WAIT_TIMEOUT_S


@pytest.mark.usefixtures("processes")
def test_the_running_bridge_check_and_status_say_that_the_file_was_removed(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    log = bridge_folder.folder / "var" / "bridge.db"
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.running() as bridge:
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
        bridge.send_signal(signal.SIGSTOP)  # It is not to end before the others have looked.
        for path in log.parent.glob("bridge.db*"):
            path.unlink()
        status, check = bridge_folder.call("status"), bridge_folder.call("check")
        bridge.send_signal(signal.SIGCONT)
        assert bridge.wait(timeout=WAIT_TIMEOUT_S) == 1
        assert not log.exists(), "looking must not make a new one"
        assert status.code == check.code == 1
        for text in (status.err, check.out):
            assert f"{log} was removed while process {bridge.pid} had it open" in text
    assert "was removed while it was open" in (bridge_folder.folder / "run.log").read_text()
    # Nobody has it open any more. What was acknowledged in the source is not in the new log.
    answer = bridge_folder.call("check", "--json")
    assert answer.code == 1
    assert any("the log has no checkpoint" in row["message"] for row in answer.rows)


@pytest.mark.usefixtures("processes")
def test_a_topic_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    log = bridge_folder.folder / "var" / "bridge.db"
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with bridge_folder.running():
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
    with closing(sqlite3.connect(log)) as connection, connection:
        for topic in ("demo.erp.customer", "demo.receipts"):
            connection.execute("DELETE FROM partition WHERE topic = ?", (topic,))
            connection.execute("DELETE FROM topic WHERE name = ?", (topic,))
    status, check = bridge_folder.call("status"), bridge_folder.call("check")
    assert status.code == check.code == 1
    for text in (status.out, check.out):
        assert "topic demo.erp.customer was deleted: everything captured into it is lost" in text
        assert "bridgectl snapshot erp.customer --resume" in text
        assert "topic demo.receipts was deleted: what it held is lost" in text
