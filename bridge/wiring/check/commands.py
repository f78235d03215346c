"""Checks commands against their system, as far as its connector supports that."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence

from bridge.config import SystemConfig
from bridge.connector import ChecksCommands, ChecksRights, CommandRight, Connector, System
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.wiring.check.result import CheckResult, result_of_problem


async def fitting_findings(
    config: SystemConfig, connector: Connector, system: System
) -> AsyncGenerator[CheckResult, None]:
    """What is wrong with their statements, at the lines where they stand."""
    if not config.spec.commands:
        return
    location = f"system {system.name}"
    try:
        if isinstance(connector, ChecksCommands):
            for problem in await connector.check_commands(system, config.spec.commands):
                where = ("commands", problem.command, problem.where)
                yield result_of_problem(config.document.problem(where, problem.what))
        if isinstance(connector, ChecksRights):
            rights = await connector.check_rights(system, config.spec.commands)
            for result in rights_findings(config, rights):
                yield result
    except (RetryLater, ConfigurationError) as error:
        yield CheckResult("error", "system", str(error), location)


def rights_findings(config: SystemConfig, rights: Sequence[CommandRight]) -> Iterator[CheckResult]:
    """The permissions missing for commands, problems of their statements, and failed queries."""
    system = config.spec.name
    unasked: dict[str, list[str]] = {}
    for right in rights:
        name = f"{system}.{right.command}"
        if right.verdict == "unasked":
            unasked.setdefault(right.what, []).append(name)
        elif right.verdict == "missing":
            what = f"the login does not have a right that {name} needs: {right.what}"
            yield CheckResult("error", "system", what, f"system {system}", fix=right.fix)
        else:
            yield result_of_problem(
                config.document.problem(("commands", right.command, "run"), right.what)
            )
    for why, names in unasked.items():
        what = f"not asked whether the login may run {', '.join(names)}: {why}"
        yield CheckResult("ok", "system", what, f"system {system}")
