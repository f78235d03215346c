"""A new agent beside a log that is full: `check` counts, and its start can be set beforehand."""

from __future__ import annotations

from tests.cli.bridge_folder import BridgeFolder

GROUP = "demo.agent.newcomer"
NEWCOMER = """
from bridge import Agent

agent = Agent("newcomer")


@agent.on("erp.customer")
async def handle(event, ctx):
    pass
"""


def test_check_says_how_many_old_events_a_new_agent_will_handle(lived: BridgeFolder) -> None:
    assert not new(lived)
    (lived.folder / "agents" / "newcomer.py").write_text(NEWCOMER)
    [finding] = new(lived)
    assert "handles up to" in finding
    assert f"bridgectl log offsets reset {GROUP} --to end" in finding
    answer = lived.call("log", "offsets", "reset", GROUP, "--to", "end", "--yes", "--json")
    assert answer.code == 0
    assert {row["committed"] for row in answer.rows} == {None}
    assert {row["topic"] for row in answer.rows} == {"demo.erp.customer"}
    assert not new(lived)
    assert lived.call("log", "groups", GROUP, "--json").rows[0]["lag"] == 0


def test_a_group_that_nobody_declares_is_not_made(lived: BridgeFolder) -> None:
    answer = lived.call("log", "offsets", "reset", "demo.agent.newcmer", "--to", "end", "--yes")
    assert answer.code == 3
    assert "no agent or system declares it" in answer.err


def new(bridge_folder: BridgeFolder) -> list[str]:
    rows = bridge_folder.call("check", "--json").rows
    return [row["message"] for row in rows if row["location"] == "agent newcomer"]
