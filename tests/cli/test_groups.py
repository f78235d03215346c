"""Groups that nobody reads with any more: shown as what they are, and deleted by a command."""

from __future__ import annotations

import pytest

from bridge.log.port import GroupInfo, TopicPartition
from bridge.wiring.group_state import (
    ACTIVE,
    FINISHED,
    FOREIGN,
    RETIRED,
    STOPPED,
    UNFINISHED,
    UNKNOWN,
    group_state,
)
from tests.cli.bridge_folder import BridgeFolder
from tests.waiting import wait_until

STUMBLER = "demo.agent.stumbler"


@pytest.mark.parametrize(
    ("name", "members", "agents", "state"),
    [
        ("demo.agent.watch", ("m",), ["watch"], ACTIVE),
        ("demo.agent.gone", ("m",), ["watch"], ACTIVE),
        ("demo.agent.watch", (), ["watch"], STOPPED),
        ("demo.agent.watch-2", (), ["watch"], RETIRED),
        ("demo.agent.watch", (), None, UNKNOWN),
        ("demo.executor.erp", (), None, STOPPED),
        ("demo.executor.crm", (), [], RETIRED),
        ("demo.replay.one", (), [], FINISHED),
        ("demo.replay.two", (), [], UNFINISHED),
        ("demo.reports", (), [], FOREIGN),
        ("demo2.agent.watch", (), [], FOREIGN),
    ],
)
def test_a_group_is_what_the_configuration_says(
    name: str, members: tuple[str, ...], agents: list[str] | None, state: str
) -> None:
    info = GroupInfo(name, members, {TopicPartition("t", 0): 1})
    assert group_state("demo", info, agents, ["erp"], {"demo.replay.one"}) == state


def status(bridge_folder: BridgeFolder) -> tuple[int, dict[str, dict[str, object]]]:
    """Exit code, and a row for each group (one of its topics)."""
    answer = bridge_folder.call("status", "--json")
    return answer.code, {row["group"]: row for row in answer.rows if row["kind"] == "group"}


def systems_alone_decide(bridge_folder: BridgeFolder) -> bool:
    """Whether no group stalls, so that the exit code of `status` is that of the systems: they stopped
    with the bridge, which counts after half a minute.
    """
    answer = bridge_folder.call("status", "--json")
    stalls = [row["stall"] for row in answer.rows if row["kind"] == "group" and row["stall"]]
    systems_fail = any(row["healthy"] is False for row in answer.rows if row["kind"] == "system")
    return not stalls and answer.code == int(systems_fail)


def test_a_retired_agent_is_told_as_such_and_deleted_by_a_command(lived: BridgeFolder) -> None:
    """It stayed in `status` with a lag that grew for ever."""
    (lived.folder / "agents" / "stumbler.py").unlink()
    assert lived.call("log", "offsets", "reset", STUMBLER, "--to", "beginning", "--yes").code == 0
    assert systems_alone_decide(lived)
    _, groups = status(lived)
    assert (groups[STUMBLER]["state"], groups[STUMBLER]["lag"]) == (RETIRED, None)
    assert groups["demo.agent.credit-watch"]["state"] == STOPPED
    output = lived.call("status").out
    assert f"`bridgectl log offsets delete {STUMBLER}`" in output

    delete = ("log", "offsets", "delete", STUMBLER)
    dry = lived.call(*delete, "--dry-run", "--json")
    assert {row["deleted"] for row in dry.rows} == {False}
    assert lived.call(*delete, stdin="n\n").code == 1
    assert STUMBLER in status(lived)[1]
    done = lived.call(*delete, "--yes", "--json")
    assert {(row["state"], row["deleted"]) for row in done.rows} == {(RETIRED, True)}
    assert STUMBLER not in status(lived)[1]
    assert systems_alone_decide(lived)
    assert lived.call(*delete, "--yes").code == 3


def test_a_group_with_members_or_of_this_configuration_is_not_deleted_by_mistake(
    bridge_runs: BridgeFolder,
) -> None:
    group = "demo.agent.credit-watch"
    bridge_runs.until("log", "groups", group, "--json")
    wait_until(lambda: status(bridge_runs)[1][group]["state"] == ACTIVE)
    refused = bridge_runs.call("log", "offsets", "delete", group, "--yes")
    assert refused.code == 1
    assert "live members" in refused.err


def test_a_group_of_this_configuration_is_deleted_with_a_warning(lived: BridgeFolder) -> None:
    group = "demo.agent.credit-watch"
    answer = lived.call("log", "offsets", "delete", group, stdin="n\n")
    assert answer.code == 1
    assert "it will start again at the beginning" in answer.err
    assert group in status(lived)[1]


def test_a_file_that_cannot_be_read_makes_no_agent_retired(lived: BridgeFolder) -> None:
    (lived.folder / "agents" / "stumbler.py").write_text("raise RuntimeError\n")
    assert status(lived)[1][STUMBLER]["state"] == UNKNOWN


def test_what_an_agents_file_prints_is_no_row(lived: BridgeFolder) -> None:
    (lived.folder / "agents" / "stumbler.py").write_text(
        "print('hello')\nfrom bridge import Agent\n"
    )
    assert status(lived)[1][STUMBLER]["state"] in {RETIRED, UNKNOWN}


def test_finished_replays_are_no_groups_that_lag(lived: BridgeFolder) -> None:
    """Each stayed in `status`, with all that came since as its lag."""
    replay = ("replay", "sales_order", "--offset", "0", "--to", "credit-watch")
    assert lived.call(*replay).code == 0
    assert not [name for name in status(lived)[1] if ".replay." in name]
    assert "demo.replay." not in lived.call("log", "groups").out

    assert lived.call(*replay, "--name", "nightly").code == 0
    assert not [name for name in status(lived)[1] if ".replay." in name]
    (row, *_) = lived.call("log", "groups", "demo.replay.nightly", "--json").rows
    assert row["state"] == FINISHED
    assert lived.call(*replay, "--name", "nightly").code == 3
    assert lived.call("log", "offsets", "delete", "demo.replay.nightly", "--yes").code == 0
    again = lived.call(*replay, "--name", "nightly")
    assert again.code == 1
    assert "use another name" in again.err


@pytest.mark.usefixtures("processes")
def test_a_replay_whose_group_is_deleted_ends_instead_of_going_on_without_its_past(
    lived: BridgeFolder,
) -> None:
    """It has no member, so that nothing kept its offsets from being deleted under it."""
    words = ("replay", "sales_order", "--offset", "0", "--to", "topic:copies", "--name", "slow")
    running = lived.start(*words, "--rate", "1")
    try:
        lived.until("log", "groups", "demo.replay.slow", "--json")
        deleted = lived.call("log", "offsets", "delete", "demo.replay.slow", "--yes")
        assert deleted.code == 0
        assert "unfinished replay" in deleted.err
        _, error_text = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 1
    assert "Traceback" not in error_text
    assert "demo.replay.slow" not in lived.call("log", "groups", "--json").out
