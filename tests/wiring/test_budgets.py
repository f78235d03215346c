"""The budgets of the bridge's file reach the agents that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.agent import Agent
from bridge.config.load import load
from bridge.gateway.budgeted_reads import BudgetedReads
from bridge.model.errors import RetryLater
from bridge.wiring import open_bridge
from bridge.wiring.check.agents import agent_findings
from tests.gateway.limits.test_read_budget import RecordedReads


def config_of(folder: Path) -> Any:
    (folder / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///b.db\nsystems: erp.yaml\nagents: watch.py\n"
        "budgets: {watch: {reads: 2, per: 1m}, elsewhere: {per_event: 3}}\n"
    )
    (folder / "erp.yaml").write_text(
        "system: erp\nconnector: odata\nurl: https://erp/\nentities: {account: {from: accounts}}\n"
    )
    (folder / "watch.py").write_text("from bridge import Agent\n\nagent = Agent('watch')\n")
    return load(folder / "bridge.yaml", {})


async def test_an_agent_with_a_budget_reads_within_it_and_another_as_it_likes(
    tmp_path: Path,
) -> None:
    async with open_bridge(config_of(tmp_path)) as bridge:
        counted: Any = RecordedReads()
        _, commands = await bridge.agent_access()
        watch = bridge.agent(Agent("watch"), counted, commands)
        assert isinstance(watch._reads, BudgetedReads)
        assert bridge.agent(Agent("other"), counted, commands)._reads is counted
        await watch._reads.get_many("erp.account", [1, 2])
        # A runner that is made again continues with the same budget.
        again = bridge.agent(Agent("watch"), counted, commands)
        with pytest.raises(RetryLater, match="has used 2 of its budget"):
            await again._reads.get("erp.account", 1)


def test_check_warns_of_a_budget_for_an_agent_that_is_not_there(tmp_path: Path) -> None:
    [warning] = [
        each for each in agent_findings(config_of(tmp_path), []) if each.severity == "warning"
    ]
    assert warning.message == "budgets: there is no agent 'elsewhere'"
    assert warning.hint == "agents are watch"
