"""`bridgectl log copy`: everything that the log holds of this bridge, into another log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import as_json, finish, load_configuration, progress, run_async
from bridge.cli.output.rows import print_json
from bridge.model.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.config import Config


@click.command(epilog="Example: bridgectl log copy --to 'kafka://k1:9092,k2:9092'")
@click.option(
    "--to",
    required=True,
    metavar="URL|FILE",
    help="Target log: a URL as in bridge.yaml, or another bridge.yaml.",
)
@as_json
@click.pass_context
def copy(ctx: click.Context, *, to: str, as_json: bool) -> None:
    """Copy records, group offsets, checkpoints and schemas into another log.

    Stop the bridge, copy, then change the line `log:`. Running it again resumes an interrupted copy
    and adds what came since. Exit code 1 when something was written to the source meanwhile: stop
    the bridge and copy again.
    """
    config = load_configuration(ctx)
    target = goal(config, to)

    async def act(stop: asyncio.Event) -> int:
        del stop
        from bridge.wiring.copy_log import copy_bridge_log

        with progress("copying", None) as advance:
            done = await copy_bridge_log(
                config, target, lambda state: advance(state.done, state.total)
            )
        if as_json:
            print_json(
                {
                    "topics": done.topics,
                    "records": done.records,
                    "groups": done.groups,
                    "remaining": done.left,
                }
            )
        else:
            click.echo(
                f"copied: {done.records} records of {done.topics} topics, {done.groups} groups"
            )
        if done.left:
            click.echo(
                f"{done.left} records were written meanwhile: stop the bridge and copy once more",
                err=True,
            )
        return 1 if done.left else 0

    finish(run_async(act))


def goal(config: Config, to: str) -> Config:
    """The configuration whose log is copied into. Raises ConfigurationError."""
    from bridge.config import load
    from bridge.config.log_target import log_target

    if "://" in to:
        target = replace(config, log=log_target(to, Path.cwd()), folder=Path.cwd())
    else:
        target = load(Path(to))
        if target.bridge != config.bridge:
            raise ConfigurationError(
                f"{to} is of bridge {target.bridge!r}, not {config.bridge!r}: topics are named by "
                "it, so that both must be the same"
            )
    if target.log == config.log:
        raise ConfigurationError(f"--to {to} is the log that is copied from")
    return target
