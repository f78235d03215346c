"""Commands that read the log which a bridge left behind."""

import importlib

import pytest

from bridge.wiring.status.compiled_modules import COMPILED, compiled
from tests.cli.bridge_folder import BridgeFolder


def test_tail_shows_every_event_in_the_order_of_each_key(lived_once: BridgeFolder) -> None:
    rows = lived_once.call("tail", "sales_order", "--no-follow", "--json").rows
    ops = [row["op"] for row in rows if row["key"] == {"order_no": "4711"}]
    assert ops == ["create", "update"]
    changed = next(
        row for row in rows if row["op"] == "update" and row["key"]["order_no"] == "4711"
    )
    assert (changed["before"]["status"], changed["after"]["status"]) == ("open", "partial")
    assert changed["after"]["total"] == "10.00"
    assert changed["after"]["ordered_at"] == "2026-01-31T09:15:00.000000Z"


def test_tail_of_one_key_and_operation(lived_once: BridgeFolder) -> None:
    events = lived_once.call(
        "tail", "erp.sales_order", "--key", "4714", "--op", "delete", "--no-follow", "--json"
    )
    assert [(row["op"], row["key"]["order_no"]) for row in events.rows] == [("delete", "4714")]
    assert events.rows[0]["after"] is None


def test_the_change_that_a_command_caused_names_it(lived_once: BridgeFolder) -> None:
    (caused,) = (
        row
        for row in lived_once.call(
            "tail", "sales_order", "--key", "4712", "--no-follow", "--json"
        ).rows
        if row["caused_by"]
    )
    (command,) = lived_once.call("commands", "--json").rows
    assert caused["caused_by"] == command["id"]
    assert command["state"] == "succeeded"
    assert [step["state"] for step in command["steps"]] == [
        "received",
        "validated",
        "executing",
        "succeeded",
    ]


def test_lines_for_people_tell_what_changed(lived_once: BridgeFolder) -> None:
    out = lived_once.call("tail", "sales_order", "--no-follow").out
    assert "status: open → partial" in out
    assert "block: none → credit" in out


@pytest.mark.parametrize(
    "topic", ["commands", "receipts", "audit", "dead", "_demo.status", "_demo.schemas"]
)
def test_every_kind_of_topic_can_be_read_by_people_and_programs(
    lived_once: BridgeFolder, topic: str
) -> None:
    assert lived_once.call("tail", topic, "--no-follow", "--json").rows
    assert lived_once.call("tail", topic, "--no-follow").out.strip()


def test_tail_ends_at_its_limit_and_begins_where_it_is_told(lived_once: BridgeFolder) -> None:
    assert (
        len(
            lived_once.call(
                "tail", "customer", "--from", "beginning", "--limit", "3", "--json"
            ).rows
        )
        == 3
    )
    assert lived_once.call(
        "tail", "customer", "--from", "2001-01-01", "--limit", "1", "--json"
    ).rows
    late = lived_once.call("tail", "customer", "--from", "1000000", "--no-follow", "--json")
    assert (late.code, late.out) == (3, "")
    assert lived_once.call("tail", "customer", "--from", "end", "--no-follow").code == 3


def test_tombstones_are_shown_only_when_nothing_is_decoded(lived_once: BridgeFolder) -> None:
    raw = lived_once.call("tail", "sales_order", "--no-follow", "--raw", "--json").rows
    assert [row["value"] for row in raw if row["kind"] == "tombstone"] == [None]
    assert all("ce_id" in row["headers"] for row in raw if row["kind"] == "record")
    records = lived_once.call("tail", "sales_order", "--no-follow", "--json").rows
    assert {row["kind"] for row in records} == {"event"}


def test_names_that_mean_nothing_are_a_usage_error_that_lists_what_there_is(
    lived_once: BridgeFolder,
) -> None:
    wrong = lived_once.call("tail", "sales_ordr", "--no-follow")
    assert wrong.code == 2
    assert "erp.sales_order" in wrong.err


def test_dead_letters_tell_what_is_wrong_and_where(lived_once: BridgeFolder) -> None:
    rows = {row["kind"]: row for row in lived_once.call("dead", "--json").rows}
    assert rows["row"]["source"] == "erp.sales_order"
    assert "status" in rows["row"]["reason"]
    assert rows["event"]["source"] == "stumbler"
    assert [row["kind"] for row in lived_once.call("dead", "--kind", "event", "--json").rows] == [
        "event"
    ]
    assert lived_once.call("dead", "--source", "erp.customer", "--json").code == 3
    assert lived_once.call("dead", "--since", "now", "--json").code == 3


def test_a_row_is_not_handed_back_and_it_is_said_how_it_comes(lived_once: BridgeFolder) -> None:
    (row,) = lived_once.call("dead", "--kind", "row", "--json").rows
    refused = lived_once.call("dead", "retry", row["letter"])
    assert refused.code == 1
    assert "is captured again once it is fixed" in refused.err
    assert "Hand" not in refused.err, "nobody is asked about what can't be done"


def test_a_dead_letter_shows_the_event_that_it_carries(lived_once: BridgeFolder) -> None:
    (row,) = lived_once.call("dead", "--kind", "event", "--json").rows
    letter = lived_once.call("dead", "show", row["letter"], "--json").rows[0]
    assert letter["payload"]["key"] == {"customer_id": "3"}
    assert "no idea" in letter["reason"]
    assert "no idea" in lived_once.call("dead", "show", row["letter"]).out
    assert lived_once.call("dead", "show", "0-99999").code == 3
    assert lived_once.call("dead", "show", "first").code == 2


def test_commands_by_state_name_and_id(lived_once: BridgeFolder) -> None:
    (row,) = lived_once.call("commands", "--name", "block_order", "--json").rows
    assert row["key"] == {"order_no": "4712"}
    assert lived_once.call("commands", "--id", row["id"], "--json").rows == [row]
    assert lived_once.call("commands", "--state", "failed").code == 3
    assert "credit-watch" in lived_once.call("commands", "show", row["id"]).out
    (command_row,) = lived_once.call("commands", "show", row["id"], "--json").rows
    assert {name: command_row[name] for name in row} == row
    assert lived_once.call("commands", "show", "nobody:x").code == 3


def test_a_command_is_shown_with_the_change_that_confirmed_it(lived_once: BridgeFolder) -> None:
    (command,) = lived_once.call("commands", "--json").rows
    (command_row,) = lived_once.call("commands", "show", command["id"], "--json").rows
    (caused,) = (
        row
        for row in lived_once.call("tail", "sales_order", "--no-follow", "--json").rows
        if row["caused_by"] == command["id"]
    )
    assert command_row["confirmed"] == {
        "entity": "erp.sales_order",
        **{name: caused[name] for name in ("position", "topic", "partition", "offset")},
    }
    assert caused["position"] in lived_once.call("commands", "show", command["id"]).out
    # Whoever has everything up to the receipt's position has that change.
    assert caused["position"] <= command["position"]
    assert caused["position"][:4] == command["position"][:4]


def test_topics_and_groups(lived_once: BridgeFolder) -> None:
    topics = {row["topic"]: row for row in lived_once.call("log", "topics", "--json").rows}
    assert topics["demo.erp.sales_order"]["content"] == "changes"
    assert topics["demo.erp.sales_order"]["cleanup"] == "compact"
    assert topics["demo.commands"]["offsets"] == 1
    groups = {row["group"]: row for row in lived_once.call("log", "groups", "--json").rows}
    assert groups["demo.agent.credit-watch"]["lag"] == 0
    rows = lived_once.call(
        "log", "groups", "demo.agent.credit-watch", "--partitions", "--json"
    ).rows
    assert {row["topic"] for row in rows} == {"demo.erp.sales_order"}
    assert lived_once.call("log", "groups", "nobody").code == 3


def test_status_tells_each_system_and_in_which_form_plans_run(lived_once: BridgeFolder) -> None:
    rows = lived_once.call("status", "--json").rows
    forms = next(row for row in rows if row["kind"] == "bridge")["implementations"]
    for what, (module, _) in COMPILED.items():
        runs = importlib.import_module(module).COMPILED
        assert forms[what] == ("compiled" if runs else "interpreted")
    assert compiled("bridge.plan.steps") is False
    assert compiled("bridge.plan.steps", ["not_installed_anywhere"]) is None
    assert compiled("bridge.plan.not_there") is None
    (system,) = (row for row in rows if row["kind"] == "system")
    assert (system["system"], system["connector"]) == ("erp", "journal")
    assert system["changes"] >= 0
    assert system["instance"]
    assert system["capabilities"]["before"] == "full"
    assert "erp" in lived_once.call("status").out


def test_status_of_a_bridge_that_ended_says_as_of_when_its_figures_are(
    lived_once: BridgeFolder,
) -> None:
    (system,) = (row for row in lived_once.call("status", "--json").rows if row["kind"] == "system")
    assert system["state"] in ("stopped", "not running")
    assert (system["changes"], system["dead_letters"], system["snapshots"]) == (47, 1, [])
    assert "erp: as of " in lived_once.call("status").out


def test_a_row_that_cannot_be_normalised_is_named_and_spoils_no_other(
    lived_once: BridgeFolder,
) -> None:
    answer = lived_once.call("get", "sales_order", "4711", "4713", "--json")
    assert [row["order_no"] for row in answer.rows] == ["4711"]
    assert answer.code == 1
    assert "erp.sales_order 4713 can't be normalised: column 'gbstk'" in answer.err
    assert "doesn't exist" not in answer.err
    several = lived_once.call("get", "sales_order")
    assert several.code == 1
    assert "erp.sales_order, one of the rows can't be normalised: column 'gbstk'" in several.err
    nothing = lived_once.call("get", "sales_order", "--where", "status=done")
    assert (nothing.code, nothing.err) == (3, "no row of erp.sales_order matches\n")


def test_get_reads_rows_by_key_and_by_condition(lived_once: BridgeFolder) -> None:
    (row,) = lived_once.call("get", "sales_order", "4711", "--json").rows
    assert (row["order_no"], row["total"], row["status"]) == ("4711", "10.00", "partial")
    missing = lived_once.call("get", "erp.sales_order", "4711", "4799", "--json")
    assert missing.code == 3
    assert len(missing.rows) == 1
    assert "4799" in missing.err
    blocked = lived_once.call("get", "sales_order", "--where", "block=credit", "--json").rows
    assert [row["order_no"] for row in blocked] == ["4712"]
    assert lived_once.call("get", "sales_order", "--where", "customer_id=39").code == 3
    assert lived_once.call("get", "sales_order", "--where", "colour=red").code == 2
    assert lived_once.call("get", "sales_order", "1", "--where", "status=open").code == 2
    (customer,) = lived_once.call(
        "get", "sales_order", "4711", "--related", "customer", "--json"
    ).rows
    assert customer["customer_id"] == "1"


def test_a_row_that_was_read_has_the_version_that_its_last_event_has(
    lived_once: BridgeFolder,
) -> None:
    (read,) = lived_once.call("get", "sales_order", "4711", "--meta", "--json").rows
    last = lived_once.call("tail", "sales_order", "--key", "4711", "--no-follow", "--json").rows[-1]
    assert read["row"] == last["after"]
    assert read["source"] == "legacy"


def test_schemas_of_entities_topics_and_files(lived_once: BridgeFolder) -> None:
    (avro,) = lived_once.call("schema", "show", "customer", "--json").rows
    assert (avro["namespace"], avro["name"]) == ("erp.customer", "Change")
    assert lived_once.call("schema", "show", "customer", "--catalogue", "--json").rows == [avro]
    (key,) = lived_once.call("schema", "show", "customer", "--key", "--json").rows
    assert [field["name"] for field in key["fields"]] == ["customer_id"]
    plan = lived_once.call("schema", "plan", "erp.sales_order").out
    assert "* order_no <- vbeln:python | zeros(10) -> string" in plan
    steps = lived_once.call("schema", "plan", "erp.sales_order", "--json").rows
    assert steps[0]["transforms"] == [["zeros", "10"]]
    assert "dead" in lived_once.call("schema", "topics").out
    assert len(lived_once.call("schema", "topics", "dead", "--json").rows) == 2
    assert lived_once.call("schema", "topics", "nothing").code == 3
    assert lived_once.call("schema", "config", "--system", "--json").rows[0]["properties"][
        "connector"
    ]


def test_schema_config_needs_no_configuration(bridge_folder: BridgeFolder) -> None:
    bridge_folder.config.unlink()
    assert bridge_folder.call("schema", "config").code == 0


def test_before_the_first_run_listings_find_nothing_and_say_so(bridge_folder: BridgeFolder) -> None:
    listing = bridge_folder.call("tail", "--no-follow")
    assert listing.code == 3
    assert "bridgectl run" in listing.err
    assert bridge_folder.call("commands").code == 3
    assert bridge_folder.call("dead").code == 3
    assert bridge_folder.call("status").code == 0
