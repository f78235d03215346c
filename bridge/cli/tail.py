"""`bridgectl tail`: shows events, commands, receipts and other records as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NOTHING_FOUND, as_json, print_json, run_with_bridge
from bridge.cli.output.safe_text import safe_text
from bridge.cli.params.field_values import parse_key_parts
from bridge.cli.params.log_start import LOG_POSITION
from bridge.cli.params.numbers import COUNT
from bridge.cli.params.topics import existing_topics
from bridge.log.start_offsets import BEGINNING, END, LogStart, resolve_offsets
from bridge.model.canonical import plain

if TYPE_CHECKING:
    from bridge.log.port import Record
    from bridge.wiring import Bridge
    from bridge.wiring.decoding import DecodedRecord

OPS = ("create", "update", "delete", "read")
_COLOURS = {"create": "green", "update": "yellow", "delete": "red", "read": "blue", "dead": "red"}


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are shown; an empty field matches all."""

    ops: Collection[str] = ()
    key: str = ""
    raw: bool = False

    def takes(self, record: DecodedRecord) -> bool:
        """Whether this record is shown. A tombstone only repeats the delete before it."""
        if record.tombstone and not self.raw:
            return False
        if not self.ops and not self.key:
            return True
        event = record.event
        if event is not None:
            return (not self.ops or event.op in self.ops) and (
                not self.key or _is_key(event.key, self.key)
            )
        if self.ops:
            return False
        from bridge.cli.output.decoded import decoded_row

        row = decoded_row(record)
        if row["key"] == self.key:
            return True
        return self.key in (row.get("command_id"), row.get("id"), row.get("source")) or (
            isinstance(row["key"], Mapping) and _is_key(row["key"], self.key)
        )


def _is_key(key: Mapping[str, Any], text: str) -> bool:
    try:
        wanted_parts = parse_key_parts(tuple(key), text)
    except ValueError:
        return False
    return all(_same(key[name], value) for name, value in wanted_parts.items())


def _same(value: Any, wanted_value: Any) -> bool:
    """Equal as text, because the shell has no types."""
    return str(plain(value)) == str(plain(wanted_value))


@click.command(epilog="Example: bridgectl tail erp.sales_order --from '10m ago' --op update --json")
@click.argument("names", nargs=-1, metavar="[ENTITY|TOPIC]...")
@click.option(
    "--from",
    "start",
    type=LOG_POSITION,
    metavar="POSITION",
    help="beginning, end, a time ('10m ago', 2026-01-31T10:00) or an offset. "
    "Default: end; with --no-follow: beginning.",
)
@click.option(
    "--follow/--no-follow", default=True, help="Keep waiting for new records, or stop at the end."
)
@click.option("--limit", type=COUNT, help="Stop after this many records.")
@click.option(
    "--key", default="", metavar="KEY", help="Only this key: plain text, JSON, or f=v,f=v."
)
@click.option(
    "--op", "ops", multiple=True, type=click.Choice(OPS), help="Only this operation; repeatable."
)
@click.option(
    "--raw", is_flag=True, help="Don't decode: show bytes, headers and tombstones as stored."
)
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    start: LogStart | None,
    follow: bool,
    limit: int | None,
    key: str,
    ops: tuple[str, ...],
    raw: bool,
    as_json: bool,
) -> None:
    """Show events of entities, or records of any topic; without names every entity's events.

    Names are entities (erp.sales_order), systems (erp), or topics (commands, receipts, audit,
    dead, or in full as `bridgectl log topics` lists them).
    """
    wanted = RecordFilter(ops, key, raw=raw)
    begin = start or (END if follow else BEGINNING)

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        shown_count = 0
        async with contextlib.aclosing(_records(bridge, names, begin, follow=follow)) as batches:
            async for batch in batches:
                for record in await _decoded(bridge, batch, raw=raw):
                    if not wanted.takes(record):
                        continue
                    _show(record, as_json=as_json)
                    shown_count += 1
                    if shown_count == limit:
                        return 0
                sys.stdout.flush()
        return 0 if shown_count else NOTHING_FOUND

    run_with_bridge(ctx, act, while_read=True)


async def _records(
    bridge: Bridge, names: tuple[str, ...], begin: LogStart, *, follow: bool
) -> AsyncGenerator[list[Record]]:
    from bridge.log.follow_topics import follow_topics, partitions_of, read_by_time

    topic_infos = await bridge.log.topics()
    topics = existing_topics(bridge.name, names, list(bridge.entities), topic_infos)
    places = await resolve_offsets(bridge.log, await partitions_of(bridge.log, topics), begin)
    source = follow_topics(bridge.log, places) if follow else read_by_time(bridge.log, places)
    async with contextlib.aclosing(source) as batches:
        async for batch in batches:
            yield batch


async def _decoded(bridge: Bridge, batch: list[Record], *, raw: bool) -> list[DecodedRecord]:
    from bridge.wiring.decoding import DecodedRecord, Decoding

    if raw:
        return [DecodedRecord(record) for record in batch]
    decoding = Decoding(bridge)
    return [await decoding.decode(record) for record in batch]


def _show(record: DecodedRecord, *, as_json: bool) -> None:
    from bridge.cli.output.decoded import decoded_line, decoded_row

    if as_json:
        print_json(decoded_row(record), flush=False)
        return
    when, what, which, key, rest = map(safe_text, decoded_line(record))
    colour = _COLOURS.get(which) or _COLOURS.get(what)
    line = "  ".join(
        [
            click.style(when, dim=True),
            click.style(f"{what:<20}", bold=True),
            click.style(f"{which:<9}", fg=colour),
            f"{key:<12}",
            rest,
        ]
    )
    click.echo(line.rstrip())
