"""`bridgectl check`: every problem of the configuration and of the systems that it names."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import as_json, finish, load_configuration, run_async

if TYPE_CHECKING:
    from bridge.wiring.check.result import CheckResult


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
    from bridge.cli.check.result_lines import exit_code, show
    from bridge.config import ConfigProblems
    from bridge.wiring.check.findings import all_findings
    from bridge.wiring.check.result import result_of_problem

    try:
        config = load_configuration(ctx, whole=True)
    except ConfigProblems as error:
        for problem in error.problems:
            show(result_of_problem(problem), as_json=as_json)
        sys.exit(2)

    async def act(stop: asyncio.Event) -> int:
        del stop
        results: list[CheckResult] = []
        async for item in all_findings(config, offline=offline):
            if item not in results:
                results.append(item)
                show(item, as_json=as_json)
        return exit_code(results)

    finish(run_async(act))
