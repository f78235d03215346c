"""Everything that `check` looks at: the files, the log, agents, and each system."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from bridge.agent import Agent
from bridge.config import Config
from bridge.connector import Connector, System
from bridge.model.types import Entity
from bridge.wiring.check.agents import agent_findings
from bridge.wiring.check.checkpoints import checkpoint_reader, resuming_findings
from bridge.wiring.check.declarations import (
    command_findings,
    connector_of,
    lookup_findings,
    tls_findings,
    transport_findings,
)
from bridge.wiring.check.gateway import gateway_findings
from bridge.wiring.check.log import log_findings
from bridge.wiring.check.new_agents import new_agent_findings
from bridge.wiring.check.result import CheckResult, result_of_problem
from bridge.wiring.check.system import system_findings
from bridge.wiring.system_limits import limit_findings


async def all_findings(config: Config, *, offline: bool) -> AsyncGenerator[CheckResult, None]:
    """Every problem of the configuration and of what it names, as soon as it is known; some may come
    twice. `offline`: of the files only.
    """
    connected: list[tuple[Connector, System] | None] = []
    agents: list[Agent] = []
    for item in _files(config, connected, agents):
        yield item
    if offline:
        return

    recorded: dict[str, Entity] = {}
    async for item in log_findings(config, recorded):
        yield item
    async for item in new_agent_findings(config, agents):
        yield item
    async with checkpoint_reader(config) as checkpoint_of:
        for system, pair in zip(config.systems, connected, strict=True):
            if pair is not None:
                async for item in system_findings(system, *pair, agents, recorded):
                    yield item
                async for item in resuming_findings(*pair, checkpoint_of):
                    yield item


def _files(
    config: Config, connected: list[tuple[Connector, System] | None], agents: list[Agent]
) -> Iterator[CheckResult]:
    """What the files tell; the systems as their connectors see them go into `connected`, the agents
    that could be loaded into `agents`.
    """
    entities = sum(len(system.spec.entities) for system in config.systems)
    commands = sum(len(system.spec.commands) for system in config.systems)
    what = f"systems: {len(config.systems)}, entities: {entities}, commands: {commands}"
    yield CheckResult("ok", "configuration", what, config.file)
    for warning in config.warnings:
        yield result_of_problem(warning, "warning")
    for system in config.systems:
        pair, problems = connector_of(config, system)
        connected.append(pair)
        yield from problems
        if pair is not None:
            yield from transport_findings(system, *pair)
            yield from limit_findings(system, *pair)
        yield from gateway_findings(config, system)
        keys = {entity.name: entity.key for entity in system.spec.entities if entity.key}
        yield from command_findings(system, keys)
        yield from lookup_findings(system, keys)
    yield from tls_findings(config)
    yield from agent_findings(config, agents)
