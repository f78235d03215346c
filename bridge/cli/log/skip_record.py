"""`bridgectl log offsets skip-record`: past a record that a group can't get past by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NothingFound, as_json, confirm, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.cli.params.numbers import PARTITION
from bridge.cli.params.topics import resolve_topics
from bridge.log.port import Entry, Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.log.system_topics import ENTRY_OVERHEAD
from bridge.model import headers
from bridge.model.names import COMMANDS, system_topic
from bridge.model.system_records import DeadLetter

if TYPE_CHECKING:
    from bridge.wiring import Bridge

SKIPPED = "Skipped"
"""`DeadLetter.error` of a record that an operator skipped."""


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
    retry`; a command is not carried out and gets no receipt.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
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
        await _bury(bridge, group, records)
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
    info = (await log.groups()).get(group)
    if info is not None and info.members:
        raise click.ClickException(
            f"group {group!r} has live members ({', '.join(info.members)}): stop them first"
        )


async def _next_records(
    log: Log, group: str, topic_partition: TopicPartition, count: int
) -> Sequence[Record]:
    info = (await log.groups()).get(group)
    if info is None:
        raise NothingFound(f"there is no group {group!r}; `bridgectl log groups` lists them")
    begin = (await log.beginning_offsets([topic_partition]))[topic_partition]
    start = max(info.committed.get(topic_partition, begin), begin)
    records: list[Record] = []
    async with aclosing(read_to_end(log, {topic_partition: start}, limit=count)) as batches:
        async for batch in batches:
            records += batch
            if len(records) >= count:
                break
    if not records:
        raise NothingFound(
            f"group {group!r} has nothing left to read in {topic_partition.topic}-{topic_partition.partition}"
        )
    return records[:count]


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


async def _bury(bridge: Bridge, group: str, records: Sequence[Record]) -> None:
    """A dead letter for each, so that nothing is gone without a trace."""
    topic = bridge.codec.topic("dead")
    await bridge.log.create_topics([bridge.codec.spec("dead")])
    room = bridge.log.max_record_bytes - ENTRY_OVERHEAD
    letters = [bridge.codec.letter(_letter(bridge.name, group, each), room) for each in records]
    await _append(bridge.log, topic, letters)


async def _append(log: Log, topic: str, letters: Sequence[Entry]) -> None:
    for letter in letters:
        await log.append(topic, [letter])


def _letter(bridge: str, group: str, record: Record) -> DeadLetter:
    is_command = record.topic == system_topic(bridge, COMMANDS)
    event_id = dict(record.headers).get(headers.ID)
    return DeadLetter(
        kind="command" if is_command else "event",
        source=group.removeprefix(f"{bridge}.agent.").removeprefix(f"{bridge}.executor."),
        reason=f"an operator skipped it for group {group}",
        at=datetime.now(UTC),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=None if event_id is None or is_command else event_id.decode(errors="replace"),
        error=SKIPPED,
        key=record.key,
        value=record.value,
    )
