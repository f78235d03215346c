"""docs/scaling.md: several processes on one log, as the page starts them."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.bridge_folder import BridgeFolder, made, order
from tests.docs.pages import page
from tests.waiting import PATIENCE


def commands_of_the_page() -> list[list[str]]:
    block = next(each for each in page("docs/scaling.md").blocks() if "--only" in each.text)
    return [line.split()[1:] for line in block.text.splitlines()]


def started(
    place: BridgeFolder, stack: ExitStack, words: list[str], name: str
) -> subprocess.Popen[str]:
    output = stack.enter_context((place.folder / name).open("w"))
    process = place.start(*words, stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@pytest.mark.usefixtures("processes")
def test_processes_share_the_work_and_a_second_capture_takes_over(tmp_path: Path) -> None:
    place = made(tmp_path / "demo")
    assert place.call("setup", "erp", "--yes").code == 0
    with ExitStack() as stack:
        processes = [
            started(place, stack, words, f"{number}.log")
            for number, words in enumerate(commands_of_the_page())
        ]
        assert len(processes) == 4
        capture = processes[0]
        place.until("tail", "customer", "--no-follow", "--json", count=40)
        place.sql(order(4712, 1, 999_999_999))
        place.until("commands", "--state", "succeeded", "--json")
        assert place.call("log", "groups").code == 0
        second = started(place, stack, ["run", "--only", "capture"], "second.log")
        assert capture.wait(timeout=PATIENCE) == 1
        assert "took over from this one" in (place.folder / "0.log").read_text()
        place.sql(order(4713, 1, 1_000))
        place.until("tail", "sales_order", "--key", "4713", "--no-follow", "--json")
        assert second.poll() is None
        for process in (*processes[1:], second):
            process.terminate()
        for process in (*processes[1:], second):
            assert process.wait(timeout=PATIENCE) == 0
