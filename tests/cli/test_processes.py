"""`bridgectl` as its users have it: a process, with signals, pipes and a start that is quick."""

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.bridge_folder import PROGRAM, BridgeFolder, create_bridge_folder, live, order
from tests.waiting import STOP_TIMEOUT_S, WAIT_TIMEOUT_S


@pytest.mark.usefixtures("processes")
def test_a_bridge_that_is_told_to_stop_ends_within_five_seconds(tmp_path: Path) -> None:
    assert live(create_bridge_folder(tmp_path / "demo")) < STOP_TIMEOUT_S


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_ends_quietly_with_code_0_at_a_signal(
    bridge_runs: BridgeFolder, number: int
) -> None:
    with bridge_runs.start("tail", "sales_order", "--json") as tail:
        assert tail.stdout is not None
        # It begins at the end of the log, which may be behind the first orders.
        for number_of_order in range(5001, 5200):
            bridge_runs.sql(order(number_of_order, 5, 100))
            if select.select([tail.stdout], [], [], 0.2)[0]:
                break
        line = tail.stdout.readline()
        assert '"op": "create"' in line
        tail.send_signal(number)
        begun = time.monotonic()
        assert tail.wait(timeout=WAIT_TIMEOUT_S) == 0
        assert time.monotonic() - begun < STOP_TIMEOUT_S
        assert tail.stderr is not None
        assert tail.stderr.read() == ""


@pytest.mark.usefixtures("processes")
def test_a_reader_that_has_enough_ends_a_listing_quietly(lived_once: BridgeFolder) -> None:
    command = (
        f"'{PROGRAM}' -c '{lived_once.config}' tail --no-follow --from beginning --json | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}} >&2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.strip() == "0"


@pytest.mark.usefixtures("processes")
def test_a_reader_that_leaves_ends_following_although_nothing_comes(
    lived_once: BridgeFolder,
) -> None:
    command = f"'{PROGRAM}' -c '{lived_once.config}' tail customer --from beginning | head -1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=WAIT_TIMEOUT_S
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.usefixtures("processes")
def test_exit_codes_reach_the_shell(lived_once: BridgeFolder, tmp_path: Path) -> None:
    def code(*words: str) -> int:
        return subprocess.run([str(PROGRAM), *words], capture_output=True, check=False).returncode

    config = ("-c", str(lived_once.config))
    assert code(*config, "log", "topics") == 0
    assert code(*config, "commands", "--state", "expired") == 3
    assert code(*config, "tail", "nothing") == 2
    assert code("-c", str(tmp_path / "none.yaml"), "status") == 2
    assert code(*config, "snapshot", "customer", "--where", "x") == 2


@pytest.mark.usefixtures("processes")
def test_a_missing_configuration_is_told_with_the_folder_and_how_to_name_another(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [str(PROGRAM), "status"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bridge.yaml: can't be read: No such file or directory (")
    for part in (str(tmp_path), "-c FILE", "BRIDGE_CONFIG"):
        assert part in done.stderr


@pytest.mark.usefixtures("processes")
def test_errors_are_sentences_without_tracebacks(lived: BridgeFolder) -> None:
    (lived.folder / "var" / "bridge.db").write_bytes(b"this is no database" * 100)
    done = subprocess.run(
        [str(PROGRAM), "-c", str(lived.config), "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "bridge.db" in done.stderr


@pytest.mark.usefixtures("processes")
def test_the_overview_answers_at_once_and_imports_nothing_heavy() -> None:
    used = os.times().children_user
    subprocess.run([str(PROGRAM), "--help"], capture_output=True, check=True)
    assert os.times().children_user - used < 1  # 0.1 s of a processor that is idle
    code = "import sys, bridge.cli.app; print([m for m in ('pydantic', 'sqlalchemy', 'rich', 'asyncio', 'fastavro') if m in sys.modules])"
    python = PROGRAM.with_name("python")
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
