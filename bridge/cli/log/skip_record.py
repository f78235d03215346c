"""`bridgectl log offsets skip-record`: skips a record that blocks a group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NothingFound, as_json, confirm, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.cli.params.numbers import PARTITION
from bridge.cli.params.topics import resolve_topics
from bridge.log.port import Log, Record, TopicPartition

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command(
    "skip-record",
    epilog="Example: bridgectl log offsets skip-record acme.executor.erp --topic commands --partition 0",
)
@click.argument("group")
@click.option("--topic", "name", required=True, help="Entity or topic that the group reads.")
@click.option("--partition", required=True, type=PARTITION, help="Partition of it.")
@click.option(
    "--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many records."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be skipped.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@as_json
@click.pass_context
def skip_record(
    ctx: click.Context,
    *,
    group: str,
    name: str,
    partition: int,
    count: int,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Skip the next records that GROUP would read from one partition. It must have no live member.

    Each is shown first and kept as a dead letter: an event can be handed back by `bridgectl dead
    retry`; a command is not executed and gets no receipt.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.wiring.skip_records import bury_records

        del stop
        topic_partition = await _resolve_partition(bridge, name, partition)
        records = await _next_records(bridge.log, group, topic_partition, count)
        await _show(bridge, group, records, dry_run=dry_run, as_json=as_json)
        if dry_run:
            click.echo("dry run: nothing was changed", err=True)
            return 0
        if not yes:
            what = "this record" if len(records) == 1 else f"these {len(records)} records"
            confirm(f"Skip {what} for group {group!r}?")
        await _refuse_live(bridge.log, group)
        await bury_records(bridge.log, bridge.codec, bridge.name, group, records)
        await bridge.log.reset_offsets(group, {topic_partition: records[-1].offset + 1})
        return 0

    run_with_bridge(ctx, act)


async def _resolve_partition(bridge: Bridge, name: str, partition: int) -> TopicPartition:
    topic_infos = await bridge.log.topics()
    topics = resolve_topics(bridge.name, name, list(bridge.entities), topic_infos)
    if len(topics) != 1:
        raise click.UsageError(f"--topic {name} means several: {', '.join(topics)}")
    if topics[0] not in topic_infos or partition >= topic_infos[topics[0]].partitions:
        raise NothingFound(f"there is no partition {partition} of {topics[0]}")
    return TopicPartition(topics[0], partition)


async def _refuse_live(log: Log, group: str) -> None:
    from bridge.wiring.group_changes import live_members

    info = (await log.groups()).get(group)
    if info is not None and (why := live_members(info)):
        raise click.ClickException(why)


async def _next_records(
    log: Log, group: str, topic_partition: TopicPartition, count: int
) -> Sequence[Record]:
    from bridge.wiring.skip_records import next_records

    info = (await log.groups()).get(group)
    if info is None:
        raise NothingFound(f"there is no group {group!r}; `bridgectl log groups` lists them")
    records = await next_records(log, info, topic_partition, count)
    if not records:
        raise NothingFound(
            f"group {group!r} has nothing left to read in {topic_partition.topic}-{topic_partition.partition}"
        )
    return records


async def _show(
    bridge: Bridge, group: str, records: Sequence[Record], *, dry_run: bool, as_json: bool
) -> None:
    from bridge.cli.output.decoded import decoded_line, decoded_row
    from bridge.wiring.decoding import Decoding

    decoding = Decoding(bridge)
    for record in records:
        decoded = await decoding.decode(record)
        if as_json:
            row: dict[str, Any] = {
                "group": group,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "skipped": not dry_run,
                "record": decoded_row(decoded),
            }
            print_json(row)
            continue
        at = f"{record.topic}-{record.partition} offset {record.offset}"
        click.echo(f"{at}: {'  '.join(part for part in decoded_line(decoded) if part)}")
