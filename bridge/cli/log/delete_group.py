"""`bridgectl log offsets delete`: deletes a consumer group that is no longer used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NothingFound, as_json, confirm, run_with_bridge
from bridge.cli.output.rows import print_rows

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command("delete", epilog="Example: bridgectl log offsets delete acme.agent.old-watch")
@click.argument("group")
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@as_json
@click.pass_context
def delete(ctx: click.Context, *, group: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete GROUP with its offsets: that of an agent that was retired, or of a replay. It must have
    no live member.

    Nothing else is deleted. A member that joins under this name again starts at the beginning.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.wiring.group_changes import delete_group, live_members
        from bridge.wiring.group_state import STOPPED, UNFINISHED, group_states

        info = (await bridge.log.groups()).get(group)
        if info is None:
            raise NothingFound(f"there is no group {group!r}; `bridgectl log groups` lists them")
        if why := live_members(info):
            raise click.ClickException(why)
        state = (await group_states(bridge, {group: info}))[group]
        rows: list[dict[str, Any]] = [
            {
                "group": group,
                "state": state,
                "topic": partition.topic,
                "partition": partition.partition,
                "committed": offset,
                "deleted": not dry_run,
            }
            for partition, offset in sorted(info.committed.items())
        ] or [{"group": group, "state": state, "deleted": not dry_run}]
        if dry_run:
            click.echo("dry run: nothing was changed", err=True)
        else:
            if state == STOPPED:
                click.echo(
                    f"group {group!r} is one of this configuration: it will start again at the "
                    "beginning of its topics",
                    err=True,
                )
            if state == UNFINISHED:
                click.echo(
                    f"group {group!r} belongs to an unfinished replay: if it is running it "
                    "ends, and starting it again under its name replays everything again",
                    err=True,
                )
            if not yes:
                confirm(f"Delete group {group!r} ({state}) and its offsets?")
            await delete_group(bridge.log, group, state)
        print_rows(rows, ("group", "state", "topic", "partition", "committed"), as_json=as_json)
        return 0

    run_with_bridge(ctx, act)
