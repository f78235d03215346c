"""`bridgectl log copy`: copies everything that the log holds of this bridge to another log."""

from __future__ import annotations

import asyncio

import click

from bridge.cli.command_runner import as_json, finish, load_configuration, progress, run_async
from bridge.cli.output.rows import print_json


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
    """Copy records, group offsets, checkpoints and schemas to another log.

    Stop the bridge, copy, then change the line `log:`. Running it again resumes an interrupted copy
    and adds new records. Exit code 1 if something was written to the source meanwhile: stop the
    bridge and copy again.
    """
    from bridge.wiring.copy_target import copy_target

    config = load_configuration(ctx)
    target = copy_target(config, to)

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
                f"{done.left} records were written meanwhile: stop the bridge and copy again",
                err=True,
            )
        return 1 if done.left else 0

    finish(run_async(act))
