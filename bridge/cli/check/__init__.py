"""`bridgectl check`: every problem of the configuration and of the systems that it names."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import as_json, finish, load_configuration, run_async

if TYPE_CHECKING:
    from bridge.agent import Agent
    from bridge.cli.check.result import CheckResult
    from bridge.config import Config
    from bridge.connector import Connector, System
    from bridge.model.types import Entity


@click.command(epilog="Example: bridgectl -c bridge.yaml check --offline")
@click.option(
    "--offline", is_flag=True, help="Check the files only; connect to no system and no log."
)
@as_json
@click.pass_context
def command(ctx: click.Context, *, offline: bool, as_json: bool) -> None:
    """Report every problem at once, with its location and how to fix it.

    Exit code 2 when a file is wrong, 1 when a system or the log is, 0 otherwise (also with warnings).
    """
    from bridge.cli.check.result import exit_code, result_of_problem, show
    from bridge.config import ConfigProblems

    try:
        config = load_configuration(ctx, whole=True)
    except ConfigProblems as error:
        for problem in error.problems:
            show(result_of_problem(problem), as_json=as_json)
        sys.exit(2)

    async def act(stop: asyncio.Event) -> int:
        del stop
        results: list[CheckResult] = []
        async for item in _all(config, offline=offline):
            if item not in results:
                results.append(item)
                show(item, as_json=as_json)
        return exit_code(results)

    finish(run_async(act))


async def _all(config: Config, *, offline: bool) -> AsyncGenerator[CheckResult, None]:
    connected: list[tuple[Connector, System] | None] = []
    agents: list[Agent] = []
    for item in _files(config, connected, agents):
        yield item
    if offline:
        return
    from bridge.cli.check.checkpoints import checkpoint_reader, resuming_findings
    from bridge.cli.check.log import log_findings
    from bridge.cli.check.new_agents import new_agent_findings
    from bridge.cli.check.system import system_findings

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
    from bridge.cli.check.agents import agent_findings
    from bridge.cli.check.declarations import (
        command_findings,
        connector_of,
        lookup_findings,
        tls_findings,
        transport_findings,
    )
    from bridge.cli.check.result import CheckResult, result_of_problem

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
        keys = {entity.name: entity.key for entity in system.spec.entities if entity.key}
        yield from command_findings(system, keys)
        yield from lookup_findings(system, keys)
    yield from tls_findings(config)
    yield from agent_findings(config, agents)
