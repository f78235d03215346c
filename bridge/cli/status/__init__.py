"""`bridgectl status`: shows what runs, its progress and its lag."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import as_json, load_configuration, print_json, run_with_bridge

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command(epilog="Example: bridgectl status --json")
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Show what runs: systems and their capture, groups and their lag, commands that failed, are
    unknown or wait, and dead letters.

    Exit code 1: something that has work to do makes no progress. That is a captured system, an
    entity or a group; a part of a running process that failed or has waited for half a minute; or
    commands that have been held back as long. The output says since when, and why.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.cli.status.lines import print_lines
        from bridge.wiring.status.report import read_report

        report = await read_report(bridge)
        if as_json:
            for row in report.json_rows():
                print_json(row)
        else:
            print_lines(report)
        return 0 if report.healthy else 1

    _check_file(ctx)
    run_with_bridge(ctx, act)


def _check_file(ctx: click.Context) -> None:
    """Check that the log's file exists: opening the log would create it and hide that it was
    removed.
    """
    from bridge.wiring.log_file_problem import log_file_problem

    path = load_configuration(ctx).log.path
    problem = "" if path is None else log_file_problem(path)
    if problem:
        raise click.ClickException(problem)
