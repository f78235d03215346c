"""`bridgectl dead`: what could not be handled, and why."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.given.start import BEGINNING, Start
from bridge.cli.given.times import TIME
from bridge.cli.shared import NOTHING_FOUND, NothingFound, as_json, on_bridge
from bridge.cli.shown.rows import print_json, print_rows

if TYPE_CHECKING:
    from bridge.cli.decoding import Decoded
    from bridge.wiring import Bridge

KINDS = ("row", "record", "event", "command")
COLUMNS = ("letter", "at", "kind", "source", "reason")
_NUMBER = re.compile(r"(?:(\d+)-)?(\d+)")


@click.group(invoke_without_command=True, epilog="Example: bridgectl dead --source erp.sales_order")
@click.option("--kind", type=click.Choice(KINDS), help="What it was.")
@click.option("--source", default="", help="Only of this entity (erp.sales_order) or agent.")
@click.option("--since", type=TIME, help="Only from then on: '1h ago', 2026-01-31T10:00.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most so many, the newest.",
)
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str | None,
    source: str,
    since: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List dead letters: rows that could not be normalised, records that were too large, events
    whose handler kept failing, commands that could not be read. The newest stand last.
    """
    if ctx.invoked_subcommand is not None:
        return

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from collections import deque

        kept: deque[dict[str, Any]] = deque(maxlen=limit)
        start = BEGINNING if since is None else Start("time", since)
        async with contextlib.aclosing(_letters(bridge, start)) as letters:
            async for found in letters:
                row = _row(found)
                if (not kind or row["kind"] == kind) and source in ("", row["source"]):
                    kept.append(row)
        return 0 if print_rows(kept, COLUMNS, as_json=as_json) else NOTHING_FOUND

    on_bridge(ctx, act)


@command.command(epilog="Example: bridgectl dead show 0-17")
@click.argument("number", metavar="LETTER")
@as_json
@click.pass_context
def show(ctx: click.Context, *, number: str, as_json: bool) -> None:
    """Show everything that is known of one dead letter, as `bridgectl dead` numbers them."""
    parts = _NUMBER.fullmatch(number)
    if parts is None:
        raise click.UsageError(
            f"{number!r} is no dead letter: write partition-offset, such as 0-17"
        )
    partition, offset = parts[1], int(parts[2])

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.cli.decoding import Decoding

        start = Start("offset", offset)
        async with contextlib.aclosing(_letters(bridge, start)) as letters:
            found = [
                letter
                async for letter in letters
                if letter.record.offset == offset
                and partition in (None, str(letter.record.partition))
            ]
        if not found:
            raise NothingFound(f"there is no dead letter {number}; `bridgectl dead` lists them")
        if len(found) > 1:
            there = ", ".join(_letter(letter) for letter in found)
            raise click.UsageError(f"{number} is ambiguous: {there}")
        row = {**_row(found[0]), "event": await _event(Decoding(bridge), found[0])}
        if as_json:
            print_json(row)
        else:
            _print(row)
        return 0

    on_bridge(ctx, act)


def _letter(found: Decoded) -> str:
    return f"{found.record.partition}-{found.record.offset}"


def _row(found: Decoded) -> dict[str, Any]:
    row = found.row()
    dead = {**row, "kind": row.pop("what"), "topic": None}
    # `topic`, `partition` and `offset` are those of the event that is meant, not of its letter.
    for name in ("topic", "partition", "offset"):
        dead[name] = getattr(found.fixed, name)
    return {"letter": _letter(found), **dead}


async def _letters(bridge: Bridge, start: Start) -> AsyncGenerator[Decoded, None]:
    from bridge.cli.decoding import fixed_history

    async with contextlib.aclosing(fixed_history(bridge, ["dead"], start)) as found:
        async for letter in found:
            if letter.fixed is not None:
                yield letter


async def _event(decoding: Any, found: Decoded) -> dict[str, Any] | None:
    """The event or command that a letter carries, decoded."""
    from bridge.log.port import Record
    from bridge.model.fixed import DeadLetter

    letter = found.fixed
    if not isinstance(letter, DeadLetter) or letter.value is None:
        return None
    record = Record(
        letter.topic or "",
        letter.partition or 0,
        letter.offset or 0,
        found.record.timestamp,
        letter.key,
        letter.value,
        (),
    )
    row: dict[str, Any] = (await decoding.decode(record)).row()
    return row


def _print(row: dict[str, Any]) -> None:
    import json

    from bridge.model.canonical import plain

    for name, value in row.items():
        if value is None or name in ("key", "value", "timestamp"):
            continue
        if isinstance(value, dict):
            text = json.dumps(plain(value), indent=2, ensure_ascii=False)
            click.echo(f"{click.style(name, bold=True)}:\n{text}")
        else:
            click.echo(f"{click.style(name, bold=True)}: {plain(value)}")
