"""`bridgectl dead`: what could not be handled, and why; and parked events handed back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.given.start import BEGINNING, Start
from bridge.cli.given.times import TIME
from bridge.cli.given.unreadable import SkippedRecords
from bridge.cli.shared import NothingFound, agreed, as_json, listed, on_bridge
from bridge.cli.shown.rows import print_json
from bridge.model.fixed import RELEASED, DeadLetter

if TYPE_CHECKING:
    from bridge.cli.decoding import Decoded
    from bridge.wiring import Bridge

KINDS = ("row", "record", "event", "command")
COLUMNS = ("letter", "when", "kind", "source", "key", "reason")
_NUMBER = re.compile(r"(?:(\d+)-)?(\d+)")


@click.group(invoke_without_command=True, epilog="Example: bridgectl dead --source erp.sales_order")
@click.option("--kind", type=click.Choice(KINDS), help="What it was.")
@click.option("--source", default="", help="Only of this entity (erp.sales_order) or agent.")
@click.option("--since", type=TIME, help="Only from then on: '1h ago', 2026-01-31T10:00.")
@click.option("--all", "everything", is_flag=True, help="Those that were handed back, too.")
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
    everything: bool,
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
        start = BEGINNING if since is None else Start("time", since)
        # Read twice, because all letters at once may not fit the memory.
        gone = await _released_since(bridge, start)
        skipped = SkippedRecords()
        rows: deque[dict[str, Any]] = deque(maxlen=limit)
        async for found in _letters(bridge, start, skipped):
            letter = found.fixed
            if (
                isinstance(letter, DeadLetter)
                and letter.error != RELEASED
                and (not kind or letter.kind == kind)
                and source in ("", letter.source)
                and (everything or letter_place(found) not in gone)
            ):
                row = {**_row(found), "handed_back": letter_place(found) in gone}
                rows.append(row if as_json else _told(row))
        skipped.tell()
        return listed(rows, COLUMNS, as_json=as_json, nothing="no dead letter fits")

    on_bridge(ctx, act)


@command.command(epilog="Example: bridgectl dead show 0-17")
@click.argument("letter", metavar="LETTER")
@as_json
@click.pass_context
def show(ctx: click.Context, *, letter: str, as_json: bool) -> None:
    """Show everything that is known of one dead letter, by its number in `bridgectl dead`."""
    wanted = parse_letter(letter)

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        found = await _letter(bridge, wanted)
        row = {**_row(found), "carried": await _carried(bridge, found)}
        if as_json:
            print_json(row)
        else:
            _print(row)
        return 0

    on_bridge(ctx, act)


@command.command(epilog="Example: bridgectl dead retry 0-17 0-18")
@click.argument("letters", metavar="LETTER...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
@as_json
@click.pass_context
def retry(ctx: click.Context, *, letters: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Hand parked events back to their agents, in the order given, all or none.

    What was handed back already isn't once more: when its handler fails again, it gets a new number.
    """
    wanted = [parse_letter(letter) for letter in letters]

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.replay import hand_back, refuse_others

        found = [await _letter(bridge, letter) for letter in wanted]
        gone = await _released_since(bridge, BEGINNING)
        if again := [_number(letter) for letter in found if letter_place(letter) in gone]:
            raise click.ClickException(f"handed back already: {', '.join(again)}")
        parked = [item.fixed for item in found if isinstance(item.fixed, DeadLetter)]
        refuse_others(parked)
        if not yes:
            agents = ", ".join(sorted({letter.source for letter in parked}))
            count = f"{len(parked)} event{'s' * (len(parked) != 1)}"
            agreed(f"Hand {count} back to {agents}?")
        back = await hand_back(bridge.log, bridge.codec, bridge.name, parked, datetime.now(UTC))
        if as_json:
            print_json({"handed_back": back, "letters": [_number(item) for item in found]})
        else:
            click.echo(f"handed back: {back}")
        return 0

    on_bridge(ctx, act)


def parse_letter(text: str) -> tuple[int | None, int]:
    """`0-17` or `17` as partition (None: any) and offset. Raises UsageError."""
    parts = _NUMBER.fullmatch(text)
    if parts is None:
        raise click.UsageError(f"{text!r} is no dead letter: write partition-offset, such as 0-17")
    return (None if parts[1] is None else int(parts[1])), int(parts[2])


Place = tuple[str | None, int | None, int | None, str]


def released(letters: Iterable[Decoded]) -> set[Place]:
    """The places of events that were handed back after they were parked. Pure."""
    gone: set[Place] = set()
    for letter in letters:
        _note_release(letter, gone)
    return gone


async def _released_since(bridge: Bridge, start: Start) -> set[Place]:
    gone: set[Place] = set()
    async for letter in _letters(bridge, start):
        _note_release(letter, gone)
    return gone


def _note_release(letter: Decoded, gone: set[Place]) -> None:
    if _is_release(letter):
        gone.add(letter_place(letter))
    else:
        # Parked once more since then.
        gone.discard(letter_place(letter))


def _is_release(found: Decoded) -> bool:
    return isinstance(found.fixed, DeadLetter) and found.fixed.error == RELEASED


def letter_place(found: Decoded) -> tuple[str | None, int | None, int | None, str]:
    """What a letter is about, the same for an event that was parked and its release. Pure."""
    letter = found.fixed
    assert isinstance(letter, DeadLetter), "only these are read"  # noqa: S101
    if letter.offset is None:
        if letter.kind == "event" and letter.event_id:
            # Copied from another log, where offsets were other ones: the event's id is the same.
            return f"{letter.topic}#{letter.event_id}", None, None, letter.source
        return None, None, found.record.offset, f"{found.record.partition}"
    return letter.topic, letter.partition, letter.offset, letter.source


def _number(found: Decoded) -> str:
    return f"{found.record.partition}-{found.record.offset}"


def _row(found: Decoded) -> dict[str, Any]:
    row = found.row()
    # `topic`, `partition` and `offset` are those of what is meant, not of its letter.
    meant = {name: getattr(found.fixed, name) for name in ("topic", "partition", "offset")}
    return {"letter": _number(found), **row, "kind": row.pop("what"), **meant}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    from bridge.cli.shown.records import local_time

    back = "handed back: " if row["handed_back"] else ""
    return {
        **row,
        "when": local_time(row["at"]),
        "key": row["event_id"] or row["position"],
        "reason": f"{back}{row['reason']}",
    }


async def _letters(
    bridge: Bridge, start: Start, skipped: SkippedRecords | None = None
) -> AsyncGenerator[Decoded]:
    """Each dead letter in turn; never all of them, which may be more than the memory holds."""
    from bridge.cli.decoding import fixed_history

    async with contextlib.aclosing(fixed_history(bridge, ["dead"], start)) as found:
        async for letter in found:
            if letter.fixed is not None:
                yield letter
            elif skipped is not None:
                skipped.note(letter.record, letter.unreadable)


async def _letter(bridge: Bridge, wanted: tuple[int | None, int]) -> Decoded:
    partition, offset = wanted
    number = str(offset) if partition is None else f"{partition}-{offset}"
    found: list[Decoded] = []
    async with contextlib.aclosing(_letters(bridge, Start("offset", offset))) as letters:
        async for letter in letters:
            if letter.record.offset == offset and partition in (None, letter.record.partition):
                found.append(letter)
                if partition is not None:
                    break
    if not found:
        raise NothingFound(f"there is no dead letter {number}; `bridgectl dead` lists them")
    if len(found) > 1:
        there = ", ".join(_number(letter) for letter in found)
        raise click.UsageError(f"{number} is ambiguous: {there}")
    return found[0]


async def _carried(bridge: Bridge, found: Decoded) -> dict[str, Any] | None:
    """The event or command that a letter carries, decoded."""
    from bridge.cli.decoding import Decoding
    from bridge.log.port import Record

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
    return (await Decoding(bridge).decode(record)).row()


def _print(row: dict[str, Any]) -> None:
    from bridge.model.canonical import plain

    for name, value in row.items():
        if value is None or name in ("key", "value", "timestamp"):
            continue
        if isinstance(value, dict):
            text = json.dumps(plain(value), indent=2, ensure_ascii=False)
            click.echo(f"{click.style(name, bold=True)}:\n{text}")
        else:
            click.echo(f"{click.style(name, bold=True)}: {plain(value)}")
