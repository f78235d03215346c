"""Whether commands fit what their system has, as far as its connector tells."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from bridge.cli.check.found import Found, of_problem
from bridge.config import SystemConfig
from bridge.connector import ChecksCommands, Connector, System
from bridge.model.errors import ConfigurationError, RetryLater


async def fitting_findings(
    config: SystemConfig, connector: Connector, system: System
) -> AsyncGenerator[Found, None]:
    """What is wrong with their statements, at the lines where they stand."""
    if not config.spec.commands or not isinstance(connector, ChecksCommands):
        return
    try:
        problems = await connector.check_commands(system, config.spec.commands)
    except (RetryLater, ConfigurationError) as error:
        yield Found("error", "system", str(error), f"system {system.name}")
        return
    for one in problems:
        yield of_problem(config.document.problem(("commands", one.command, one.where), one.what))
