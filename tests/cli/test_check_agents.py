"""What `check` says of agents: files that can't be loaded, entities and fields that aren't there."""

import json

import pytest

from tests.cli.bridge_folder import BridgeFolder
from tests.cli.check_rows import edit, wrong
from tests.waiting import WAIT_TIMEOUT_S


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
    assert {json.loads(line)["severity"] for line in out.splitlines()} == {"ok"}
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
