"""`bridgectl check`: every problem at once, with its place and what fixes it."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from bridge.config import load
from bridge.config.log_target import log_target
from bridge.connector import (
    Capabilities,
    Chunk,
    Connector,
    Finding,
    ReadCheckpoint,
    Shape,
    System,
)
from bridge.log.port import TopicInfo, TopicSpec
from bridge.model.errors import BridgeError, ConfigurationError, Rejected, RetryLater
from bridge.model.specs import ArgSpec, CommandSpec
from bridge.model.types import FieldType
from bridge.plan.steps import Wire
from bridge.wiring.check.checkpoints import resuming_findings
from bridge.wiring.check.declarations import probe_problems, statement_problems
from bridge.wiring.check.log import collisions, expected, topic_findings
from bridge.wiring.check.snapshots import snapshot_findings
from tests.cli.bridge_folder import BridgeFolder
from tests.waiting import WAIT_TIMEOUT_S


def edit(bridge_folder: BridgeFolder, file: str, old: str, new: str) -> None:
    path = bridge_folder.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def wrong(bridge_folder: BridgeFolder, *words: str) -> list[dict[str, str]]:
    rows = bridge_folder.call("check", "--json", *words).rows
    return [row for row in rows if row["severity"] != "ok"]


def test_all_is_well_after_setup(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 0
    assert {row["severity"] for row in checked.rows} == {"ok"}
    assert not (bridge_folder.folder / "var" / "bridge.db").exists()


def test_what_a_system_lacks_comes_with_the_statements_that_make_it(
    bridge_folder: BridgeFolder,
) -> None:
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 1
    missing = [row for row in checked.rows if row["setup_can_fix"]]
    assert any("CREATE TRIGGER" in row["fix"] for row in missing)
    assert "bridgectl setup erp --show" in bridge_folder.call("check").out
    assert bridge_folder.call("check", "--offline").code == 0


def test_every_problem_of_the_files_is_told_at_once(bridge_folder: BridgeFolder) -> None:
    edit(bridge_folder, "systems/erp.yaml", "key: order_no\n", "key: order_nr\n")
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "entity: sales_order\n    args",
        "entity: salesorder\n    args",
    )
    edit(bridge_folder, "systems/erp.yaml", "queries_per_second: 200", "queries_per_second: many")
    checked = bridge_folder.call("check", "--json", "--offline")
    assert checked.code == 2
    # A file whose shape is wrong is told first; what it means is asked of a file that has shape.
    assert [row["location"] for row in checked.rows] == ["systems/erp.yaml:5"]
    edit(bridge_folder, "systems/erp.yaml", "queries_per_second: many", "queries_per_second: 200")
    problems = wrong(bridge_folder, "--offline")
    assert len(problems) == 2
    assert all(row["location"].startswith("systems/erp.yaml:") for row in problems)


def test_a_key_that_the_catalogue_tells_must_lead_back_to_its_column(
    bridge_folder: BridgeFolder,
) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    edit(bridge_folder, "systems/erp.yaml", "    key: order_no\n", "")
    assert wrong(bridge_folder) == []
    twice = "order_no: {from: vbeln, map: {A: x, B: x}}"
    edit(bridge_folder, "systems/erp.yaml", "order_no:    {from: vbeln, zeros: 10}", twice)
    assert wrong(bridge_folder, "--offline") == []
    (problem,) = wrong(bridge_folder)
    assert "field 'order_no' is used in the key" in problem["message"]
    assert bridge_folder.call("check").code == 2


def test_statements_that_name_what_is_not_declared(bridge_folder: BridgeFolder) -> None:
    edit(bridge_folder, "systems/erp.yaml", "ztext = :reason", "ztext = :raeson")
    problems = wrong(bridge_folder, "--offline")
    assert bridge_folder.call("check", "--offline").code == 2
    text = (bridge_folder.folder / "systems" / "erp.yaml").read_text().splitlines()
    line = next(number for number, line in enumerate(text, 1) if ":raeson" in line)
    assert any(
        ":raeson" in row["message"] and row["location"] == f"systems/erp.yaml:{line}"
        for row in problems
    )
    assert any("'reason' isn't used" in row["message"] for row in problems)


def test_agents_that_cannot_be_loaded_or_want_what_is_not_there(
    bridge_folder: BridgeFolder,
) -> None:
    agents = bridge_folder.folder / "agents"
    (agents / "broken.py").write_text("from bridge import Agent\n\nagent = Agent('b'\n")
    (agents / "other.py").write_text("from nowhere import nothing\n")
    messages = [row["message"] for row in wrong(bridge_folder, "--offline")]
    assert len(messages) == 2
    assert any("broken.py:3" in what for what in messages)
    assert any("other.py:1" in what for what in messages)
    (agents / "broken.py").unlink()
    (agents / "other.py").write_text(
        "from bridge import Agent\nagent = Agent('o')\n\n\n@agent.on('erp.invoice')\ndef f(event, ctx): ...\n"
    )
    (only,) = wrong(bridge_folder, "--offline")
    assert "erp.invoice" in only["message"]
    assert bridge_folder.call("check", "--offline").code == 2


AGENT = """
from bridge import Agent

agent = Agent("more")


@agent.on("erp.customer"{more})
def more(event{parameters}): ...
"""


def with_agent(
    bridge_folder: BridgeFolder, text: str = "", *, parameters: str = ", ctx", more: str = ""
) -> None:
    agent = text or AGENT.format(parameters=parameters, more=more)
    (bridge_folder.folder / "agents" / "more.py").write_text(agent)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            AGENT.format(parameters="", more=""),
            "more.py:7: agent 'more', handler 'more' takes (event)",
        ),
        (
            AGENT.replace('("erp.customer"{more})', "").format(parameters=", ctx"),
            "`on` was given more",
        ),
        ("from bridge import Agent\nagent = Agent('idle')\n", "agent 'idle' has no handlers"),
        (
            AGENT.format(parameters=", ctx", more=", where={'city': 'Ulm'}"),
            "where names 'city', which is no field of erp.customer",
        ),
    ],
)
def test_what_can_never_work_in_an_agent_is_found_in_its_declaration(
    bridge_folder: BridgeFolder, text: str, says: str
) -> None:
    with_agent(bridge_folder, text)
    (problem,) = wrong(bridge_folder, "--offline")
    assert says in problem["message"]
    assert bridge_folder.call("check", "--offline").code == 2


def test_where_is_compared_with_the_catalogue_where_fields_are_not_declared(
    bridge_folder: BridgeFolder,
) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    path = bridge_folder.folder / "systems" / "erp.yaml"
    before, customer = path.read_text().split("  customer:\n    from: kna1\n", 1)
    after = customer[customer.index("\ncommands:") :]
    path.write_text(f"{before}  customer:\n    from: kna1\n{after}")
    (bridge_folder.folder / "agents" / "credit_watch.py").unlink()
    with_agent(bridge_folder, more=", where={'city': 'Ulm', 'name1': 'Ott'}")
    assert wrong(bridge_folder, "--offline") == []
    (problem,) = wrong(bridge_folder)
    assert "where names 'city'" in problem["message"]


@pytest.mark.parametrize("package", [False, True])
def test_agents_of_a_folder_share_code_and_tests_beside_them_are_no_agents(
    bridge_folder: BridgeFolder, package: bool
) -> None:
    agents = bridge_folder.folder / "agents"
    if package:
        (agents / "__init__.py").write_text("")
    (agents / "a_limits.py").write_text("LIMIT = 7\n")
    (agents / "test_more.py").write_text("import no_such_module\n")
    (agents / "conftest.py").write_text("import no_such_module\n")
    dot = "." if package else ""
    with_agent(
        bridge_folder,
        f"from {dot}a_limits import LIMIT\nassert LIMIT == 7\n"
        + AGENT.format(parameters=", ctx", more=""),
    )
    (result,) = [
        row
        for row in bridge_folder.call("check", "--offline", "--json").rows
        if row["location"] == "agents" or "agents:" in row["message"]
    ]
    assert result["message"] == "agents: credit-watch, more"


def test_two_folders_of_agents_have_helpers_of_one_name(bridge_folder: BridgeFolder) -> None:
    other = bridge_folder.folder / "others"
    other.mkdir()
    edit(bridge_folder, "bridge.yaml", "agents: agents/*.py", "agents: [agents/*.py, others/*.py]")
    for folder, limit in ((bridge_folder.folder / "agents", 1), (other, 2)):
        (folder / "limits.py").write_text(f"LIMIT = {limit}\n")
        text = AGENT.format(parameters=", ctx", more="").replace('"more"', f'"more-{limit}"')
        (folder / "uses.py").write_text(
            f"from limits import LIMIT\nassert LIMIT == {limit}\n{text}"
        )
    assert wrong(bridge_folder, "--offline") == []


def test_agents_packages_side_by_side_run_no_module_twice(bridge_folder: BridgeFolder) -> None:
    edit(bridge_folder, "bridge.yaml", "agents: agents/*.py", "agents: [agents/*.py, others/*.py]")
    other = bridge_folder.folder / "others"
    other.mkdir()
    count = "with open(__file__ + '.count', 'a') as file:\n    file.write('x')\n"
    for folder, own in ((bridge_folder.folder / "agents", "limits"), (other, "ceilings")):
        (folder / "__init__.py").write_text("")
        (folder / f"{own}.py").write_text(count)
        text = AGENT.format(parameters=", ctx", more="").replace('"more"', f'"more-{own}"')
        (folder / "uses.py").write_text(f"import agents.limits\nfrom . import {own}\n{text}")
    assert wrong(bridge_folder, "--offline") == []
    for file in ("agents/limits.py", "others/ceilings.py"):
        assert (bridge_folder.folder / f"{file}.count").read_text() == "x"
        (bridge_folder.folder / f"{file}.count").unlink()


def test_a_file_that_nobody_imports_and_that_has_no_agent_is_a_mistake(
    bridge_folder: BridgeFolder,
) -> None:
    (bridge_folder.folder / "agents" / "odd.py").write_text("x = 1\n")
    (problem,) = wrong(bridge_folder, "--offline")
    assert "odd.py: defines no Agent, and no file beside it imports it" in problem["message"]


@pytest.mark.usefixtures("processes")
def test_check_runs_each_file_once_and_what_agents_print_is_not_in_its_json(
    bridge_folder: BridgeFolder,
) -> None:
    """Not even what a program that they run prints."""
    text = "import os, subprocess\nprint('hello')\nos.write(1, b'here')\nsubprocess.run(['echo', 'there'])\n"
    count = "with open(__file__ + '.count', 'a') as file:\n    file.write('x')\n"
    with_agent(bridge_folder, text + count + AGENT.format(parameters=", ctx", more=""))
    done = bridge_folder.start("check", "--json", "--offline")
    out, err = done.communicate(timeout=WAIT_TIMEOUT_S)
    assert done.returncode == 0, err
    assert [json.loads(line)["severity"] for line in out.splitlines()] == ["ok", "ok"]
    assert {"hello", "here", "there"} <= set(err.replace("here", "here\n", 1).split())
    assert (bridge_folder.folder / "agents" / "more.py.count").read_text() == "x"


@pytest.mark.parametrize("command", [("check", "--offline"), ("run",)])
def test_an_agents_file_that_ends_the_program_is_named(
    bridge_folder: BridgeFolder, command: tuple[str, ...]
) -> None:
    (bridge_folder.folder / "agents" / "scripted.py").write_text("import sys\n\nsys.exit(0)\n")
    answer = bridge_folder.call(*command)
    assert answer.code == 2
    assert "scripted.py:3: SystemExit: 0" in answer.out + answer.err


def test_connectors_and_their_options(bridge_folder: BridgeFolder) -> None:
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "connector: journal  ",
        "capture: {pol_ms: 5}\nconnector: journal  ",
    )
    (only,) = wrong(bridge_folder, "--offline")
    assert "pol_ms" in only["message"]
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "capture: {pol_ms: 5}\nconnector: journal",
        "connector: jurnal",
    )
    (only,) = wrong(bridge_folder, "--offline")
    assert "journal" in only["hint"]


def test_entities_that_do_not_fit_their_tables(bridge_folder: BridgeFolder) -> None:
    bridge_folder.call("setup", "erp", "--yes")
    edit(bridge_folder, "systems/erp.yaml", "from: ztext", "from: ztxet")
    checked = bridge_folder.call("check", "--json")
    assert checked.code == 2
    assert any(
        "ztxet" in row["message"] and row["location"].startswith("systems/erp.yaml:")
        for row in checked.rows
    )


def test_keys_whose_values_do_not_lead_back_to_the_source(bridge_folder: BridgeFolder) -> None:
    edit(
        bridge_folder,
        "systems/erp.yaml",
        "customer_id:  {from: kunnr, zeros: 10}",
        "customer_id:  {from: kunnr, call: 'a:b', type: string}",
    )
    assert any("customer_id" in row["message"] for row in wrong(bridge_folder, "--offline"))


def test_a_system_that_is_away_is_a_sentence(bridge_folder: BridgeFolder) -> None:
    (bridge_folder.folder / "var" / "erp.db").unlink()
    checked = bridge_folder.call("check")
    assert checked.code == 1
    assert "erp.db" in checked.out


def test_the_log_of_a_bridge_that_ran_is_as_it_should_be(lived_once: BridgeFolder) -> None:
    checked = lived_once.call("check", "--json")
    assert checked.code == 0
    (log,) = (row for row in checked.rows if row["area"] == "log")
    assert log["severity"] == "ok"


def test_a_field_of_another_type_than_its_topic_has_is_found_before_capture_pauses(
    lived: BridgeFolder,
) -> None:
    """Capture pauses such an entity, and status says so; check said that it fits its table."""
    system = lived.folder / "systems" / "erp.yaml"
    text = system.read_text()
    other = text.replace(
        'total:       {from: netwr, unit: "0.01", type: "decimal(15,2)"}',
        "total: {from: netwr, type: string}",
    )
    assert other != text
    system.write_text(other)
    answer = lived.call("check")
    assert answer.code == 2
    (line,) = [line for line in answer.out.splitlines() if "doesn't fit its topic" in line]
    assert "systems/erp.yaml:8: entities.sales_order: " in line
    assert "field 'total' was decimal(15,2)" in line
    system.write_text(text.replace("      block:", "      more: ztext\n      block:"))
    assert lived.call("check").code == 0, "a field more is no conflict"


def test_topics_that_are_otherwise_than_configured(bridge_folder: BridgeFolder) -> None:
    config = load(bridge_folder.config)
    topic_infos = {
        spec.name: TopicInfo(spec, 4) for spec in expected(config) if spec.partitions is None
    }
    assert topic_findings(config, topic_infos) == []
    changes, dead = "demo.erp.customer", "demo.dead"
    topic_infos[changes] = TopicInfo(TopicSpec(changes, "compact", history_ms=3_600_000), 4)
    topic_infos[dead] = TopicInfo(TopicSpec(dead, "delete", retention_ms=86_400_000), 4)
    results_by_topic = {item.location: item for item in topic_findings(config, topic_infos)}
    assert "1h instead of 30d" in results_by_topic[f"topic {changes}"].message
    assert "1d instead of ever" in results_by_topic[f"topic {dead}"].message
    assert {item.severity for item in results_by_topic.values()} == {"warning"}
    topic_infos[changes] = TopicInfo(TopicSpec(changes, "delete"), 4)
    assert any("cleanup is delete" in item.message for item in topic_findings(config, topic_infos))


@pytest.mark.parametrize(
    ("query", "warnings"), [("", 0), ("?partitions=4", 0), ("?partitions=6", 1)]
)
def test_partitions_are_compared_where_the_configuration_says_how_many(
    bridge_folder: BridgeFolder, query: str, warnings: int
) -> None:
    """A log that was copied from the embedded one has four, and the line that moves it says none."""
    config = replace(
        load(bridge_folder.config), log=log_target(f"kafka://k1:9092{query}", bridge_folder.folder)
    )
    spec = TopicSpec("demo.erp.customer", "compact", history_ms=config.history_ms)
    assert len(topic_findings(config, {spec.name: TopicInfo(spec, 4)})) == warnings


@pytest.mark.parametrize(
    ("run", "key", "expected_parts"),
    [
        ("update t set a = :a where k = :key", ("k",), []),
        ("update t set a = :a where k = :key_k", ("k",), []),
        ("update t set a = :a where k = :key", ("k", "l"), [":key stands for a key of one field"]),
        ("update t set a = :a where k = :key_k and l = :key_l", ("k", "l"), []),
        ("update t set a = :a where k = :key_x", ("k",), [":key_x, which is no argument"]),
        ("update t set a = :a where k = :key_x", (), []),
        (
            "update t set a = :b where k = :key",
            ("k",),
            [":b, which is no argument", "'a' isn't used"],
        ),
        ("update t set a = :a", ("k",), ["has no :key"]),
        ("select f(:key, cast(:a as text))", ("k",), []),
        ("select f(:key, :a::text)", ("k",), ["CAST(:a AS ..)"]),
        ("insert into t values (:key, :a, :id)", ("k",), []),
    ],
)
def test_parameters_of_statements(
    run: str, key: tuple[str, ...], expected_parts: list[str]
) -> None:
    spec = CommandSpec("erp", "c", "t", run, (ArgSpec("a", FieldType("string")),))
    problems = [what for what, _ in statement_problems(spec, key)]
    assert len(problems) == len(expected_parts)
    assert all(part in what for part, what in zip(expected_parts, problems, strict=True))


@pytest.mark.parametrize(
    ("probe", "expected_parts"),
    [
        ("", []),
        ("Orders?externalID=:id", []),
        ("Orders(:key)?status=:a", []),
        ("Orders?externalID=:nr", ["the probe names :nr, which is no argument; known are :a, :id"]),
        ("Orders?customer=:key_l", [":key_l, which is no argument"]),
        ("Orders?status=open", ["asks the same of every command"]),
    ],
)
def test_parameters_of_probes(probe: str, expected_parts: list[str]) -> None:
    args = (ArgSpec("a", FieldType("string")),)
    spec = CommandSpec("erp", "c", "t", "POST Orders", args, probe=probe)
    problems = [what for what, _ in probe_problems(spec, ("k",))]
    assert len(problems) == len(expected_parts)
    assert all(part in what for part, what in zip(expected_parts, problems, strict=True))


def test_topics_of_the_bridges_own_that_lose_records_are_no_mere_warning(
    bridge_folder: BridgeFolder,
) -> None:
    """Made beforehand with another cleanup, all schemas and replayed events vanish."""
    config = load(bridge_folder.config)
    schemas, replays = "_demo.schemas", "_demo.replay.credit-watch"
    topic_infos = {
        schemas: TopicInfo(TopicSpec(schemas, "compact"), 1),
        replays: TopicInfo(TopicSpec(replays, "compact"), 4),
    }
    results_by_topic = {
        item.location: item.severity for item in topic_findings(config, topic_infos)
    }
    assert results_by_topic == {f"topic {schemas}": "error", f"topic {replays}": "error"}


def test_names_that_kafka_takes_for_one_are_found() -> None:
    assert collisions(["a.b.c", "a.b.d"]) == []
    assert collisions(["a.erp.x_y", "a.erp_x.y"]) == [("a.erp_x.y", "a.erp.x_y")]
    assert collisions(["a_b.erp.x"], ["a.b_erp.x", "a_b.erp.z"]) == [("a_b.erp.x", "a.b_erp.x")]


async def test_what_a_resumed_source_says_is_an_error_only_where_it_would_stop_it() -> None:
    class Resuming:
        async def check_resuming(self, system: Any, read: ReadCheckpoint) -> list[Finding]:
            assert await read() == b"{}"
            return [Finding("stops", "", fatal=True), Finding("is compared", "", fatal=False)]

    system = System("acme", "erp", "", "", None, ())
    connector = cast("Connector", Resuming())

    async def checkpoint_of(name: str) -> bytes:
        assert name == "erp"
        return b"{}"

    results = [item async for item in resuming_findings(connector, system, checkpoint_of)]
    assert [(item.severity, item.message) for item in results] == [
        ("error", "stops"), ("warning", "is compared")
    ]  # fmt: skip


class Trial:
    """A system whose tables can't be snapshot, each in its way."""

    def __init__(self, answers: dict[str, list[BridgeError | None]]) -> None:
        self.answers = answers
        self.chunk_calls: list[tuple[str, list[str] | None]] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(snapshot=True)

    async def snapshot(self, system: System) -> Any:
        return self

    async def chunk(self, table: str, where: None, after: list[str] | None, limit: int) -> Chunk:
        self.chunk_calls.append((table, after))
        error = self.answers.get(table, [None]).pop(0) if self.answers.get(table) else None
        if error is not None:
            raise error
        shape = Shape(table, (), Wire.PYTHON)
        return Chunk(shape, [], ["after"] if after is None else None)

    async def close(self) -> None: ...


async def test_what_would_keep_a_first_snapshot_from_being_taken_is_an_error(
    bridge_folder: BridgeFolder,
) -> None:
    """Changes would stream, all would look well, and the rows that are there would never come."""
    [config] = load(bridge_folder.config).systems
    away = RetryLater("the service answers 500")
    tables = {entity.name: entity.table for entity in config.spec.entities}
    customers, orders = tables["customer"], tables["sales_order"]
    for answers, words in (
        ({}, None),
        # It may pass, and does.
        ({customers: [away, None]}, None),
        ({customers: [away, away]}, "the first snapshot of erp.customer can't be taken: the serv"),
        # Only behind the first rows: a key that can't be compared.
        (
            {orders: [None, Rejected("bad", "no such operator")]},
            "of erp.sales_order can't be taken",
        ),
        ({orders: [ConfigurationError("no right to read it")]}, "no right to read it"),
    ):
        trial = Trial(cast("dict[str, list[BridgeError | None]]", answers))
        system = System("acme", "erp", "", "", None, ())
        connector = cast("Connector", trial)
        results = [item async for item in snapshot_findings(config, connector, system, ())]
        assert [item.severity for item in results] == ([] if words is None else ["error"])
        assert words is None or words in results[0].message
        assert {table for table, _ in trial.chunk_calls} == set(tables.values())
    results = [item async for item in snapshot_findings(config, connector, system, {orders})]
    assert not results
