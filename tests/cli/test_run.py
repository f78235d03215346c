"""What `bridgectl run` says when it can't begin, or when a part of it gives up."""

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.bridge_folder import BridgeFolder
from tests.waiting import WAIT_TIMEOUT_S

JOURNAL = "journal of 'erp': its tables and triggers are not there; make them with"


def run(bridge_folder: BridgeFolder, *words: str) -> tuple[int, str]:
    """Exit code and stderr of a run that ends by itself; stdout stays empty."""
    with bridge_folder.start("run", *words) as bridge:
        out, err = bridge.communicate(timeout=30)
        assert out == ""
        return bridge.returncode, err


def lines(err: str) -> list[dict[str, Any]]:
    """Each line of stderr has to be JSON."""
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.usefixtures("processes")
def test_a_part_that_is_refused_at_the_start_is_told_once(bridge_folder: BridgeFolder) -> None:
    code, err = run(bridge_folder, "--only", "capture")
    assert code == 1
    assert err.count(JOURNAL) == 1
    line = next(line for line in err.splitlines() if JOURNAL in line)
    assert "kind=capture" in line
    assert "name=erp" in line
    assert "state=failed" in line


@pytest.mark.usefixtures("processes")
def test_a_part_that_is_refused_at_the_start_is_told_once_as_json(
    bridge_folder: BridgeFolder,
) -> None:
    code, err = run(bridge_folder, "--only", "capture", "--json")
    assert code == 1
    (line,) = [line for line in lines(err) if JOURNAL in line.get("reason", "")]
    assert (line["kind"], line["name"], line["state"]) == ("capture", "erp", "failed")
    assert line["level"] == "error"


@contextlib.contextmanager
def with_a_broken_file(bridge_folder: BridgeFolder) -> Iterator[None]:
    before = bridge_folder.config.read_text()
    bridge_folder.config.write_text(before.replace("\nlog:", "\nlogs:") + "surprise: 1\n")
    yield
    bridge_folder.config.write_text(before)


@pytest.mark.usefixtures("processes")
def test_a_file_that_is_refused_is_told_once_a_problem_a_line(bridge_folder: BridgeFolder) -> None:
    with with_a_broken_file(bridge_folder):
        code, err = run(bridge_folder)
        assert code == 2
        assert len(err.splitlines()) == len(set(err.splitlines())) == 3
        assert "bridge.yaml:" in err
        code, as_json = run(bridge_folder, "--json")
    assert code == 2
    json_lines = lines(as_json)
    assert {f"{line['file']}:{line['line']}: {line['key']}" for line in json_lines} == {
        ": ".join(line.split(": ")[:2]) for line in err.splitlines()
    }
    assert {line["level"] for line in json_lines} == {"error"}
    assert all(line["message"] for line in json_lines)


@pytest.mark.usefixtures("processes")
def test_a_missing_file_and_a_missing_agent_are_told_once_as_json(
    bridge_folder: BridgeFolder,
) -> None:
    (bridge_folder.folder / "agents" / "odd.py").write_text("x = 1\n")
    code, err = run(bridge_folder, "--json")
    assert code == 2
    (line,) = lines(err)
    assert "odd.py" in line["reason"]
    bridge_folder.config.unlink()
    code, err = run(bridge_folder, "--json")
    assert code == 2
    (line,) = lines(err)
    assert line["file"] == "bridge.yaml"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_bridge_that_ends_in_order_says_which_parts_had_given_up(
    bridge_folder: BridgeFolder, form: tuple[str, ...]
) -> None:
    """Its exit code is 1, and what was said when it happened may be weeks away."""
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    bridge_folder.sql("drop table bridge_ledger")
    reason = "the ledger table 'bridge_ledger' is not there"
    with bridge_folder.start("run", "--only", "capture", "--only", "commands", *form) as bridge:
        assert bridge.stderr is not None
        output: list[str] = []
        while not (
            any(reason in line for line in output) and any("streaming" in x for x in output)
        ):
            line = bridge.stderr.readline()
            assert line, output
            output.append(line.rstrip())
        bridge.send_signal(signal.SIGTERM)
        output += bridge.communicate(timeout=WAIT_TIMEOUT_S)[1].splitlines()
    assert bridge.returncode == 1
    assert sum(reason in line for line in output) == 1
    assert "failed earlier: commands erp" in output[-1]
    if form:
        assert lines("\n".join(output))[-1]["level"] == "warning"


@pytest.mark.usefixtures("processes")
def test_a_part_that_fails_for_good_ends_the_process_where_that_is_asked_for(
    bridge_folder: BridgeFolder,
) -> None:
    """With exit code 1, the others in order: a supervisor starts it again, and tries the part."""
    assert bridge_folder.call("setup", "erp", "--yes").code == 0
    bridge_folder.sql("drop table bridge_ledger")
    started = bridge_folder.start(
        "run", "--only", "capture", "--only", "commands", "--exit-on-failure"
    )
    with started as bridge:
        output = bridge.communicate(timeout=60)[1]
    assert bridge.returncode == 1, output
    assert output.count("the ledger table 'bridge_ledger' is not there") == 1
    assert "failed earlier: commands erp" in output
    assert "did not end in time" not in output
