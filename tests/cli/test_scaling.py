"""docs/scaling.md: several processes on one log, as the page starts them."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.bridge_folder import BridgeFolder, create_bridge_folder, order
from tests.docs.pages import page
from tests.waiting import WAIT_TIMEOUT_S


def commands_of_the_page() -> list[list[str]]:
    block = next(each for each in page("docs/scaling.md").blocks() if "--only" in each.text)
    return [line.split()[1:] for line in block.text.splitlines()]


def started(
    bridge_folder: BridgeFolder, stack: ExitStack, words: list[str], name: str
) -> subprocess.Popen[str]:
    output = stack.enter_context((bridge_folder.folder / name).open("w"))
    process = bridge_folder.start(*words, stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@pytest.mark.usefixtures("processes")
def test_processes_share_the_work_and_a_second_capture_takes_over(tmp_path: Path) -> None:
    bridge_folder = create_bridge_folder(tmp_path / "demo")
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    with ExitStack() as stack:
        processes = [
            started(bridge_folder, stack, words, f"{number}.log")
            for number, words in enumerate(commands_of_the_page())
        ]
        assert len(processes) == 4
        capture = processes[0]
        bridge_folder.until("tail", "customer", "--no-follow", "--json", count=40)
        bridge_folder.sql(order(4712, 1, 999_999_999))
        bridge_folder.until("commands", "--state", "succeeded", "--json")
        assert bridge_folder.call("log", "groups").code == 0
        second = started(bridge_folder, stack, ["run", "--only", "capture"], "second.log")
        assert capture.wait(timeout=WAIT_TIMEOUT_S) == 1
        assert "took over from this one" in (bridge_folder.folder / "0.log").read_text()
        bridge_folder.sql(order(4713, 1, 1_000))
        bridge_folder.until("tail", "sales_order", "--key", "4713", "--no-follow", "--json")
        assert second.poll() is None
        for process in (*processes[1:], second):
            process.terminate()
        for process in (*processes[1:], second):
            assert process.wait(timeout=WAIT_TIMEOUT_S) == 0
