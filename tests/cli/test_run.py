"""What `bridgectl run` says when it can't begin, or when a part of it gives up."""

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.bridge_folder import BridgeFolder

JOURNAL = "journal of 'erp': its tables and triggers are not there; make them with"


def run(place: BridgeFolder, *words: str) -> tuple[int, str]:
    """Exit code and stderr of a run that ends by itself; stdout stays empty."""
    with place.start("run", *words) as bridge:
        out, err = bridge.communicate(timeout=30)
        assert out == ""
        return bridge.returncode, err


def lines(err: str) -> list[dict[str, Any]]:
    """Each line of stderr has to be JSON."""
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.usefixtures("processes")
def test_a_part_that_is_refused_at_the_start_is_told_once(place: BridgeFolder) -> None:
    code, err = run(place, "--only", "capture")
    assert code == 1
    assert err.count(JOURNAL) == 1
    told = next(line for line in err.splitlines() if JOURNAL in line)
    assert "kind=capture" in told
    assert "name=erp" in told
    assert "state=failed" in told


@pytest.mark.usefixtures("processes")
def test_a_part_that_is_refused_at_the_start_is_told_once_as_json(place: BridgeFolder) -> None:
    code, err = run(place, "--only", "capture", "--json")
    assert code == 1
    (told,) = [line for line in lines(err) if JOURNAL in line.get("reason", "")]
    assert (told["kind"], told["name"], told["state"]) == ("capture", "erp", "failed")
    assert told["level"] == "error"


@contextlib.contextmanager
def with_a_broken_file(place: BridgeFolder) -> Iterator[None]:
    before = place.config.read_text()
    place.config.write_text(before.replace("\nlog:", "\nlogs:") + "surprise: 1\n")
    yield
    place.config.write_text(before)


@pytest.mark.usefixtures("processes")
def test_a_file_that_is_refused_is_told_once_a_problem_a_line(place: BridgeFolder) -> None:
    with with_a_broken_file(place):
        code, err = run(place)
        assert code == 2
        assert len(err.splitlines()) == len(set(err.splitlines())) == 3
        assert "bridge.yaml:" in err
        code, as_json = run(place, "--json")
    assert code == 2
    told = lines(as_json)
    assert {f"{one['file']}:{one['line']}: {one['key']}" for one in told} == {
        ": ".join(line.split(": ")[:2]) for line in err.splitlines()
    }
    assert {one["level"] for one in told} == {"error"}
    assert all(one["message"] for one in told)


@pytest.mark.usefixtures("processes")
def test_a_missing_file_and_a_missing_agent_are_told_once_as_json(place: BridgeFolder) -> None:
    (place.folder / "agents" / "odd.py").write_text("x = 1\n")
    code, err = run(place, "--json")
    assert code == 2
    (told,) = lines(err)
    assert "odd.py" in told["reason"]
    place.config.unlink()
    code, err = run(place, "--json")
    assert code == 2
    (told,) = lines(err)
    assert told["file"] == "bridge.yaml"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_bridge_that_ends_in_order_says_which_parts_had_given_up(
    place: BridgeFolder, form: tuple[str, ...]
) -> None:
    """Its exit code is 1, and what was said when it happened may be weeks away."""
    assert place.call("setup", "erp", "--yes").code == 0
    place.sql("drop table bridge_ledger")
    reason = "the ledger table 'bridge_ledger' is not there"
    with place.start("run", "--only", "capture", "--only", "commands", *form) as bridge:
        assert bridge.stderr is not None
        told: list[str] = []
        while not (any(reason in line for line in told) and any("streaming" in x for x in told)):
            line = bridge.stderr.readline()
            assert line, told
            told.append(line.rstrip())
        bridge.send_signal(signal.SIGTERM)
        told += bridge.communicate(timeout=20)[1].splitlines()
    assert bridge.returncode == 1
    assert sum(reason in line for line in told) == 1
    assert "gave up before: commands erp" in told[-1]
    if form:
        assert lines("\n".join(told))[-1]["level"] == "warning"


@pytest.mark.usefixtures("processes")
def test_a_part_that_fails_for_good_ends_the_process_where_that_is_asked_for(
    place: BridgeFolder,
) -> None:
    """With exit code 1, the others in order: a supervisor starts it again, and tries the part."""
    assert place.call("setup", "erp", "--yes").code == 0
    place.sql("drop table bridge_ledger")
    started = place.start("run", "--only", "capture", "--only", "commands", "--exit-on-failure")
    with started as bridge:
        told = bridge.communicate(timeout=60)[1]
    assert bridge.returncode == 1, told
    assert told.count("the ledger table 'bridge_ledger' is not there") == 1
    assert "gave up before: commands erp" in told
    assert "did not end in time" not in told
