"""Commands that write: to the log, to groups, to files, to the legacy system."""

import json
from pathlib import Path

import pytest

from bridge.model.position import parse_position
from tests.cli.bridge_folder import BridgeFolder, order
from tests.waiting import wait_until


def test_a_person_sends_a_command_and_sees_what_became_of_it(bridge_runs: BridgeFolder) -> None:
    words = ("commands", "send", "erp.block_order", "--key", "4711", "--arg", "reason=by hand")
    sent, ended = bridge_runs.call(*words, "--by", "Ann O'Neil", "--wait", "60", "--json").rows
    assert ended["outcome"] == "succeeded"
    assert ended["id"].startswith("person-ann-o-neil:")
    assert parse_position(ended["position"]).commit > 0
    assert sent["key"] == {"order_no": "4711"}
    (row,) = bridge_runs.call("get", "sales_order", "4711", "--json").rows
    assert (row["block"], row["note"]) == ("credit", "by hand")


def test_the_same_idempotency_key_is_the_same_command(bridge_runs: BridgeFolder) -> None:
    words = ("commands", "send", "block_order", "--key", "4711", "--idempotency-key", "ticket-7")
    first = bridge_runs.call(*words, "--arg", "reason=once", "--wait", "60", "--json")
    second = bridge_runs.call(*words, "--arg", "reason=once", "--wait", "60", "--json")
    assert first.rows[0]["id"] == second.rows[0]["id"]
    assert first.rows[1] == second.rows[1]
    assert (first.code, second.code) == (0, 0)
    effects = bridge_runs.call("tail", "sales_order", "--key", "4711", "--no-follow", "--json").rows
    assert len([row for row in effects if row["caused_by"] == first.rows[0]["id"]]) == 1
    other = bridge_runs.call(*words, "--arg", "reason=another", "--wait", "60", "--json")
    assert (other.code, other.rows[1]["code"]) == (1, "key_reused")
    (command,) = bridge_runs.call("commands", "show", first.rows[0]["id"], "--json").rows
    assert (command["state"], command["args"]) == ("succeeded", {"reason": "once"})


def test_a_command_whose_version_is_old_fails_with_exit_code_1(bridge_runs: BridgeFolder) -> None:
    words = ("commands", "send", "block_order", "--key", "4711", "--arg", "reason=x")
    answer = bridge_runs.call(*words, "--expect", "0" * 64, "--wait", "60", "--json")
    assert answer.code == 1
    assert answer.rows[1]["code"] == "conflict"
    (seen,) = bridge_runs.call("get", "sales_order", "4711", "--meta", "--json").rows
    expect = ("--expect", seen["expect"]["erp.block_order"], "--wait", "60", "--json")
    assert bridge_runs.call(*words, *expect).code == 0
    assert bridge_runs.call(*words, *expect).rows[1]["code"] == "conflict"


@pytest.mark.usefixtures("processes")
def test_a_command_that_waits_for_approval_says_so(lived: BridgeFolder) -> None:
    file = lived.folder / "systems" / "erp.yaml"
    file.write_text(file.read_text().replace("tier: outside_the_loop", "tier: in_the_loop"))
    with lived.running():
        words = ("commands", "send", "block_order", "--key", "4711", "--arg", "reason=x")
        same = (*words, "--idempotency-key", "once")
        sent = lived.call(*same, "--json").rows[0]
        lived.until("commands", "--state", "awaiting_approval", "--id", sent["id"], "--json")
        answer = lived.call(*same, "--wait", "1")
    assert answer.code == 1
    assert "awaiting_approval" in answer.err


def test_wrong_commands_are_refused_before_anything_is_sent(lived: BridgeFolder) -> None:
    before = lived.call("commands", "--json").out
    send = ("commands", "send")
    for words in (
        ("erp.unblock", "--key", "1"),
        ("block_order", "--key", "4711"),
        ("block_order", "--key", "4711", "--arg", "reason"),
        ("block_order", "--key", "4711", "--arg", f"reason={'x' * 61}"),
        ("block_order", "--key", "4711", "--arg", "reason=x", "--arg", "colour=red"),
        ("block_order", "--key", '{"line_no": "1"}', "--arg", "reason=x"),
    ):
        assert lived.call(*send, *words).code == 2, words
    dry = lived.call(*send, "block_order", "--key", "1", "--arg", "reason=x", "--dry-run", "--json")
    assert dry.rows[0]["sent"] is False
    assert lived.call("commands", "--json").out == before


def test_a_snapshot_of_an_entity_a_row_and_a_system_is_waited_for(
    bridge_runs: BridgeFolder,
) -> None:
    (whole,) = bridge_runs.call("snapshot", "customer", "--json").rows
    assert (whole["entity"], whole["rows"], whole["failed"]) == ("customer", 40, "")
    (result,) = bridge_runs.call(
        "snapshot", "erp.customer", "--where", "customer_id=7", "--json"
    ).rows
    assert result["rows"] == 1
    every = bridge_runs.call("snapshot", "erp", "--reconcile", "--json").rows
    assert {row["entity"] for row in every} == {"customer", "sales_order", "order_line"}
    read = bridge_runs.call(
        "tail", "customer", "--key", "7", "--op", "read", "--no-follow", "--json"
    )
    assert len(read.rows) == 4


def test_snapshots_that_contradict_themselves_are_refused(lived: BridgeFolder) -> None:
    assert lived.call("snapshot", "customer", "--where", "customer_id=7", "--reconcile").code == 2
    assert lived.call("snapshot", "erp", "--where", "customer_id=7").code == 2
    assert lived.call("snapshot", "nothing").code == 2
    assert lived.call("snapshot", "customer", "--max-deletes", "5").code == 2
    lots = lived.call("snapshot", "customer", "--reconcile", "--max-deletes", "lots")
    assert lots.code == 2
    assert "neither a number of rows" in lots.err


def test_a_replay_into_a_file_is_gone_on_with_and_repeats_nothing(
    lived: BridgeFolder, tmp_path: Path
) -> None:
    file = tmp_path / "orders.jsonl"
    words = ("replay", "sales_order", "--offset", "0", "--to", str(file), "--json")
    (first,) = lived.call(*words).rows
    lines = file.read_text().splitlines()
    assert first["selected"] == len(lines) > 3
    assert {json.loads(line)["entity"] for line in lines} == {"erp.sales_order"}
    again = lived.call(*words)
    assert (again.code, again.rows[0]["selected"]) == (3, 0)
    other = lived.call("replay", "sales_order", "--key", "4712", "--to", str(file))
    assert other.code == 1
    assert "use another name or file" in other.err
    assert file.read_text().splitlines() == lines


def test_a_replay_into_an_agent_repeats_no_effect(bridge_runs: BridgeFolder) -> None:
    dry = bridge_runs.call(
        "replay", "sales_order", "--key", "4712", "--to", "credit-watch", "--dry-run", "--json"
    ).rows[0]
    assert (dry["replayed"], dry["by_op"]) == (False, {"create": 1, "update": 1})
    bridge_runs.call("replay", "sales_order", "--key", "4712", "--to", "credit-watch")
    # The repeated request has arrived: it stands in the log, with the id of the first.
    sent = bridge_runs.until("tail", "commands", "--no-follow", "--json", count=2).rows
    assert len({row["id"] for row in sent}) == 1
    (command,) = bridge_runs.call("commands", "--json").rows
    assert command["state"] == "succeeded"
    events = bridge_runs.call("tail", "sales_order", "--key", "4712", "--no-follow", "--json").rows
    assert [row["op"] for row in events] == ["create", "update"]


def test_a_replay_into_a_topic_is_marked(lived: BridgeFolder) -> None:
    words = ("replay", "sales_order", "--since", "2001-01-01", "--op", "delete")
    lived.call(*words, "--to", "topic:demo.again")
    (copy,) = lived.call("tail", "demo.again", "--no-follow", "--json").rows
    assert (copy["op"], copy["replayed"]) == ("delete", True)


def test_a_replay_says_what_it_wants(lived: BridgeFolder) -> None:
    assert lived.call("replay", "sales_order", "--to", "credit-watch").code == 2
    nobody = lived.call("replay", "sales_order", "--offset", "0", "--to", "nobody")
    assert nobody.code == 2
    assert "credit-watch" in nobody.err
    assert lived.call("replay", "erp", "--offset", "0", "--to", "x.jsonl").code == 2
    dry = ("replay", "sales_order", "--offset", "0", "--to", "credit-watch", "--dry-run", "--where")
    unknown = lived.call(*dry, "nothing=1")
    assert unknown.code == 2
    assert "no field 'nothing'" in unknown.err
    assert lived.call(*dry, "total=much").code == 2


def test_offsets_are_shown_before_they_are_reset(lived: BridgeFolder) -> None:
    group = "demo.agent.credit-watch"
    reset = ("log", "offsets", "reset", group, "--to", "beginning", "--json")
    dry = lived.call(*reset, "--dry-run").rows
    assert all(row["new"] == 0 and row["reset"] is False for row in dry)
    assert lived.call("log", "groups", group, "--json").rows[0]["lag"] == 0
    assert lived.call(*reset, stdin="n\n").code == 1
    assert lived.call("log", "groups", group, "--json").rows[0]["lag"] == 0
    assert lived.call(*reset, stdin="y\n").code == 0
    assert lived.call("log", "groups", group, "--json").rows[0]["lag"] > 0
    assert lived.call("log", "offsets", "reset", "nobody", "--to", "end").code == 3


def test_offsets_of_a_group_that_lives_stay(bridge_runs: BridgeFolder) -> None:
    group = "demo.agent.credit-watch"
    wait_until(
        lambda: any(
            row["members"] for row in bridge_runs.call("log", "groups", group, "--json").rows
        )
    )
    answer = bridge_runs.call("log", "offsets", "reset", group, "--to", "end", "--yes")
    assert answer.code == 1
    assert "live members" in answer.err


@pytest.mark.usefixtures("processes")
def test_a_parked_event_is_handed_back_and_handled(lived: BridgeFolder) -> None:
    (letter,) = lived.call("dead", "--kind", "event", "--json").rows
    mended = (
        (lived.folder / "agents" / "stumbler.py")
        .read_text()
        .replace("raise RuntimeError(", "print(")
    )
    (lived.folder / "agents" / "stumbler.py").write_text(mended)
    with lived.running():
        assert lived.call("dead", "retry", letter["letter"], stdin="n\n").code == 1
        nobody = lived.call("dead", "retry", letter["letter"])
        assert nobody.code == 1
        assert "there is no terminal to ask for confirmation; use --yes" in nobody.err
        assert (
            lived.call("dead", "retry", letter["letter"], "--yes", "--json").rows[0]["handed_back"]
            == 1
        )
        lived.until("log", "groups", "demo.agent.stumbler", "--json", count=2)
    assert lived.call("dead", "--kind", "event", "--json").code == 3
    (back,) = lived.call("dead", "--kind", "event", "--all", "--json").rows
    assert (back["letter"], back["handed_back"]) == (letter["letter"], True)
    twice = lived.call("dead", "retry", letter["letter"], "--yes")
    assert twice.code == 1
    assert f"already handed back: {letter['letter']}" in twice.err
    assert len(lived.call("dead", "--kind", "event", "--all", "--json").rows) == 1


def test_setup_shows_asks_and_runs_once(bridge_folder: BridgeFolder) -> None:
    plan = bridge_folder.call("setup", "erp", "--show")
    assert "CREATE TRIGGER" in plan.out
    assert bridge_folder.call("setup", "erp", stdin="n\n").code == 1
    assert bridge_folder.call("setup", "erp", "--show").out == plan.out
    assert bridge_folder.call("setup", "erp", stdin="y\n").code == 0
    again = bridge_folder.call("setup", "erp")
    assert (again.code, again.out) == (0, "")
    assert "nothing is missing" in again.err
    assert bridge_folder.call("setup", "crm").code == 2


def test_get_sees_at_once_what_users_enter(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    assert bridge_folder.call("get", "sales_order").code == 3
    bridge_folder.sql(order(1, 1, 5))
    assert bridge_folder.call("get", "sales_order", "1", "--json").rows[0]["total"] == "0.05"


def test_get_tells_the_source_and_takes_demands(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    bridge_folder.sql(order(1, 1, 5))
    for demands in (
        ("--fresh",),
        ("--max-staleness", "0"),
        ("--after", "0001-0000000000000001-0000000000"),
        ("--deadline", "60"),
    ):
        answer = bridge_folder.call("get", "sales_order", "1", *demands)
        assert answer.code == 0
        assert "source: legacy, as of 20" in answer.err
        (row,) = bridge_folder.call("get", "sales_order", "1", *demands, "--json", "--meta").rows
        assert (row["source"], row["row"]["total"]) == ("legacy", "0.05")
        assert row["as_of"]
    assert "source:" not in bridge_folder.call("get", "sales_order", "1").err
    for wrong, says in (
        (("--fresh", "--max-staleness", "5"), "pass one of them"),
        (("--after", "yesterday"), "position of an event"),
        (("--deadline", "0"), "more than 0"),
    ):
        answer = bridge_folder.call("get", "sales_order", "1", *wrong)
        assert answer.code == 2
        assert says in " ".join(answer.err.split())


def test_no_loss_is_accepted_where_capture_goes_on(bridge_runs: BridgeFolder) -> None:
    """The request would be used up, and nothing done."""
    answer = bridge_runs.call("snapshot", "erp", "--accept-loss")
    assert answer.code == 1
    assert "there is no loss to accept" in answer.err
    assert "bridgectl snapshot erp --reconcile" in answer.err
