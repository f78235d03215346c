"""`bridgectl log topics`: what is in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, print_listing, run_with_bridge
from bridge.log.port import TopicInfo, TopicPartition
from bridge.log.topic_content import belongs_to_bridge, topic_content

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command(epilog="Example: bridgectl log topics --all --json")
@click.option("--all", "everything", is_flag=True, help="Include topics of other bridges.")
@as_json
@click.pass_context
def topics(ctx: click.Context, *, everything: bool, as_json: bool) -> None:
    """List topics: partitions, offsets, retention.

    `offsets` is the distance from the first offset to the end. Compaction and transactions leave
    gaps, so there may be fewer records.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        topic_infos = {
            name: info
            for name, info in sorted((await bridge.log.topics()).items())
            if everything or belongs_to_bridge(bridge.name, name)
        }
        places = [
            TopicPartition(name, number)
            for name, info in topic_infos.items()
            for number in range(info.partitions)
        ]
        first = await bridge.log.beginning_offsets(places)
        last = await bridge.log.end_offsets(places)
        rows = [_row(bridge, name, info, first, last) for name, info in topic_infos.items()]
        columns = ("topic", "content", "partitions", "offsets", "cleanup", "retention")
        return print_listing(rows, columns, as_json=as_json, nothing="the log has no topics")

    run_with_bridge(ctx, act)


def _row(
    bridge: Bridge,
    name: str,
    info: TopicInfo,
    first: Mapping[TopicPartition, int],
    last: Mapping[TopicPartition, int],
) -> dict[str, Any]:
    mine = [partition for partition in last if partition.topic == name]
    kept = info.spec.history_ms if info.spec.cleanup == "compact" else info.spec.retention_ms
    return {
        "topic": name,
        "content": topic_content(bridge.name, name, bridge.entities),
        "partitions": info.partitions,
        "offsets": sum(last[partition] - first[partition] for partition in mine),
        "cleanup": info.spec.cleanup,
        "retention": "last per key"
        if info.spec.cleanup == "compact" and not kept
        else span_text(kept) + (", then last per key" if info.spec.cleanup == "compact" else ""),
        "first_offsets": {partition.partition: first[partition] for partition in mine},
        "end_offsets": {partition.partition: last[partition] for partition in mine},
        "history_ms": info.spec.history_ms,
        "retention_ms": info.spec.retention_ms,
        "records": info.records,
    }


def span_text(milliseconds: int | None) -> str:
    """A duration for people; None: for ever."""
    if milliseconds is None:
        return "for ever"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
