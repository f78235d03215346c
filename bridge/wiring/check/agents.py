"""Agents: whether their files can be run, and whether what they want is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from bridge.agent import Agent
from bridge.config import Config
from bridge.wiring.agents import read_agents
from bridge.wiring.check.result import CheckResult

LOCATION = "agents"


def agent_findings(config: Config, agents: list[Agent]) -> Iterator[CheckResult]:
    """What is wrong with agents' files, and the entities that they ask for. Those that could be
    loaded go into `agents`; each file is run once.
    """
    with _stdout_on_stderr():
        loaded, problems = read_agents(config.agents)
    agents.extend(loaded)
    for problem in problems:
        hint = "correct that file, or `agents:` in the bridge's file"
        yield CheckResult("configuration", LOCATION, problem, config.file, hint)
    declared = {
        entity.qualified: entity for system in config.systems for entity in system.spec.entities
    }
    wrong = bool(problems)
    for name in sorted(config.budgets.keys() - {agent.name for agent in loaded}):
        what = f"budgets: there is no agent {name!r}"
        hint = f"agents are {', '.join(sorted(agent.name for agent in loaded)) or 'none'}"
        yield CheckResult("warning", LOCATION, what, config.file, hint)
    for agent in loaded:
        for entity in sorted(agent.entities - declared.keys()):
            wrong = True
            what = f"agent {agent.name!r} wants {entity!r}, which no system declares"
            hint = f"entities are {', '.join(sorted(declared))}"
            yield CheckResult("configuration", LOCATION, what, config.file, hint=hint)
    for name, spec in declared.items():
        if spec.fields:
            for result in where_findings(loaded, name, [field.name for field in spec.fields]):
                wrong = True
                yield result
    if loaded and not wrong:
        yield CheckResult("ok", LOCATION, f"agents: {', '.join(agent.name for agent in loaded)}")


def where_findings(
    agents: Sequence[Agent], entity: str, fields: Collection[str]
) -> Iterator[CheckResult]:
    """Handlers of `entity` whose `where` names a field that it doesn't have."""
    for agent in agents:
        for handler in agent.handlers:
            if handler.entity != entity or handler.where is None or callable(handler.where):
                continue
            for name in sorted(set(handler.where) - set(fields)):
                what = (
                    f"agent {agent.name!r}, handler {handler.name!r}: where names {name!r}, which "
                    f"is no field of {entity}"
                )
                hint = f"fields are {', '.join(fields)}"
                yield CheckResult("configuration", LOCATION, what, hint=hint)


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """What agents' files print, and programs that they run, leaves what is found alone: it may be
    read as JSON.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
