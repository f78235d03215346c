"""`bridgectl log groups`, `log offsets reset` and `skip`: shows and changes where consumer groups
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import NothingFound, as_json, confirm, print_listing, run_with_bridge
from bridge.cli.output.rows import print_rows
from bridge.cli.params.log_start import LOG_POSITION
from bridge.cli.params.topics import resolve_topics
from bridge.log.port import Log, TopicPartition
from bridge.log.start_offsets import LogStart
from bridge.log.start_offsets import resolve_offsets as offsets_of

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command(epilog="Example: bridgectl log groups --partitions")
@click.argument("group", required=False)
@click.option("--partitions", is_flag=True, help="One row per partition.")
@as_json
@click.pass_context
def groups(ctx: click.Context, *, group: str | None, partitions: bool, as_json: bool) -> None:
    """List consumer groups: state, members and lag, in records (in offsets where it is large).

    The state is active (it has members), stopped, retired (its agent or system is not in the
    configuration any more), unfinished or finished (a replay), foreign (none of this bridge's), or
    unknown (an agents' file can't be read).
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.wiring.group_state import group_states
        from bridge.wiring.status.group_rows import group_rows, summed

        infos = await bridge.log.groups()
        chosen = {name: info for name, info in infos.items() if group in (None, name)}
        states = await group_states(bridge, chosen)
        rows = [
            {**row, "state": states[row["group"]]} for row in await group_rows(bridge.log, chosen)
        ]
        columns: tuple[str, ...] = (
            "group",
            "state",
            "topic",
            "partition",
            "committed",
            "end",
            "lag",
            "missing",
        )
        if not partitions:
            rows, columns = (
                [{**row, "state": states[row["group"]]} for row in summed(rows)],
                ("group", "state", "topic", "members", "partitions", "lag", "missing"),
            )
        return print_listing(
            rows, columns, as_json=as_json, nothing="no such group has committed anything"
        )

    run_with_bridge(ctx, act)


@click.command(epilog="Example: bridgectl log offsets reset my-group --to '1h ago' --dry-run")
@click.argument("group")
@click.option(
    "--to",
    "start",
    type=LOG_POSITION,
    required=True,
    metavar="POSITION",
    help=("beginning, end, a time ('1h ago', 2026-01-31T10:00) or an offset."),
)
@click.option("--topic", "names", multiple=True, help="Only this entity or topic; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@as_json
@click.pass_context
def reset(
    ctx: click.Context,
    *,
    group: str,
    start: LogStart,
    names: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Set where GROUP continues reading. It must have no live member. It may be the group of a declared
    agent that has never run: then it starts there.

    An agent that reads events again may send commands again; the ledger of the legacy system
    answers those with their first receipt, as long as their ids are the same.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.log.group_partitions import partitions_to_reset
        from bridge.wiring.group_changes import declared_topics

        info = (await bridge.log.groups()).get(group)
        declared = declared_topics(bridge.config, group)
        if info is None and declared is None:
            raise NothingFound(
                f"there is no group {group!r}, and no agent or system declares it; `bridgectl log "
                "groups` lists them"
            )
        topic_infos = await bridge.log.topics()
        wanted = {
            topic
            for name in names
            for topic in resolve_topics(bridge.name, name, list(bridge.entities), topic_infos)
        }
        committed = {} if info is None else info.committed
        partitions = partitions_to_reset(committed, declared or (), topic_infos, wanted)
        if not partitions:
            raise NothingFound(f"group {group!r} reads no existing topic")
        new = await offsets_of(bridge.log, partitions, start)
        rows = [
            {
                "group": group,
                "topic": partition.topic,
                "partition": partition.partition,
                "committed": committed.get(partition),
                "new": new[partition],
                "reset": not dry_run,
            }
            for partition in partitions
        ]
        await _apply(bridge.log, group, new, dry_run=dry_run, yes=yes)
        print_rows(rows, ("topic", "partition", "committed", "new"), as_json=as_json)
        return 0

    run_with_bridge(ctx, act)


@click.command(epilog="Example: bridgectl log offsets skip acme.executor.erp --dry-run")
@click.argument("group")
@click.option("--dry-run", is_flag=True, help="Only show what would be given up.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@as_json
@click.pass_context
def skip(ctx: click.Context, *, group: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Give up records that were removed before GROUP read them: it continues with the first one that
    exists. It must have no live member.

    An executor doesn't continue before that, because commands among them were never executed.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.wiring.group_changes import removed_before_read

        info = (await bridge.log.groups()).get(group)
        if info is None:
            raise NothingFound(f"there is no group {group!r}; `bridgectl log groups` lists them")
        moved = await removed_before_read(bridge.log, info)
        new = {lag.partition: lag.start for lag in moved}
        rows = [
            {
                "group": group,
                "topic": lag.partition.topic,
                "partition": lag.partition.partition,
                "committed": lag.committed,
                "new": lag.start,
                "missing": lag.missing,
                "skipped": not dry_run,
            }
            for lag in moved
        ]
        if not rows:
            raise NothingFound(f"nothing was removed that group {group!r} had not read")
        await _apply(bridge.log, group, new, dry_run=dry_run, yes=yes)
        print_rows(rows, ("topic", "partition", "committed", "new", "missing"), as_json=as_json)
        return 0

    run_with_bridge(ctx, act)


async def _apply(
    log: Log, group: str, new: Mapping[TopicPartition, int], *, dry_run: bool, yes: bool
) -> None:
    if dry_run:
        click.echo("dry run: nothing was changed", err=True)
        return
    question = f"Set {len(new)} partitions of group {group!r}?"
    if not yes:
        confirm(question)
    await log.reset_offsets(group, new)
