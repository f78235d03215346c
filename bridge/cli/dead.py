"""`bridgectl dead`: lists dead letters with their reasons, and hands parked events back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NothingFound, as_json, confirm, print_listing, run_with_bridge
from bridge.cli.output.page import NewestPage, after_option, limit_option
from bridge.cli.output.rows import print_json
from bridge.cli.output.safe_text import safe_text
from bridge.cli.output.skipped_records import SkippedRecords
from bridge.cli.params.times import TIME
from bridge.log.dead_letter_id import DeadLetterId, parse_letter_id
from bridge.log.start_offsets import BEGINNING, LogStart
from bridge.model.system_records import RELEASED, DeadLetter

if TYPE_CHECKING:
    from bridge.wiring import Bridge
    from bridge.wiring.decoding import DecodedRecord
    from bridge.wiring.raw_row_key import KeyNames

KINDS = ("row", "record", "event", "command")
COLUMNS = ("letter", "age", "kind", "source", "handler", "entity", "key", "reason")


@click.group(invoke_without_command=True, epilog="Example: bridgectl dead --source erp.sales_order")
@click.option("--kind", type=click.Choice(KINDS), help="Only dead letters of this kind.")
@click.option(
    "--source", default="", help="Only of this entity (erp.sales_order), agent or system."
)
@click.option("--since", type=TIME, help="Only from this time on: '1h ago', 2026-01-31T10:00.")
@click.option("--all", "everything", is_flag=True, help="Include events that were handed back.")
@limit_option
@after_option("LETTER")
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
    after: str,
    as_json: bool,
) -> None:
    """List dead letters: rows that could not be normalised, records that were too large, events
    whose handler kept failing, commands that could not be read. Newest last.
    """
    if ctx.invoked_subcommand is not None:
        return

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.wiring.dead_letters import dead_letters, letter_subject, released_since
        from bridge.wiring.raw_row_key import KeyNames

        del stop
        start = BEGINNING if since is None else LogStart("time", since)
        # Read twice, because all letters together may not fit in memory.
        gone = await released_since(bridge, start)
        skipped = SkippedRecords()
        page: NewestPage[DecodedRecord] = NewestPage(limit, after)
        async for letter_record in dead_letters(bridge, start, skipped.note):
            letter = letter_record.fixed
            if (
                isinstance(letter, DeadLetter)
                and letter.error != RELEASED
                and (not kind or letter.kind == kind)
                and source in ("", letter.source)
                and (everything or letter_subject(letter_record) not in gone)
            ):
                page.add(_number(letter_record), letter_record)
        rows = []
        keys = KeyNames(bridge)
        for letter_record in page.items:
            row = {
                **_row(letter_record),
                "handed_back": letter_subject(letter_record) in gone,
                **await _subject(keys, letter_record, await _carried(bridge, letter_record)),
            }
            rows.append(row if as_json else _row_for_people(row))
        skipped.tell()
        page.report("dead letters")
        return print_listing(rows, COLUMNS, as_json=as_json, nothing="no dead letter matches")

    run_with_bridge(ctx, act)


@command.command(epilog="Example: bridgectl dead show 0-17")
@click.argument("letter", metavar="LETTER")
@as_json
@click.pass_context
def show(ctx: click.Context, *, letter: str, as_json: bool) -> None:
    """Show everything about one dead letter, given its number in `bridgectl dead`, or the id of its event
    from a log line of `bridgectl run`.
    """
    wanted = _parse_letter(letter)

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.wiring.raw_row_key import KeyNames

        del stop
        letter_record = await _letter(bridge, wanted)
        carried = await _carried(bridge, letter_record)
        row = {**_row(letter_record), **await _subject(KeyNames(bridge), letter_record, carried)}
        row["payload"] = carried
        if as_json:
            print_json(row)
        else:
            _print(row)
        return 0

    run_with_bridge(ctx, act)


@command.command(epilog="Example: bridgectl dead retry 0-17 0-18")
@click.argument("letters", metavar="LETTER...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Hand them back without asking.")
@as_json
@click.pass_context
def retry(ctx: click.Context, *, letters: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Hand parked events back to their agents, in the given order, all or none.

    An event is handed back only once; if its handler fails again, it gets a new number.
    """
    wanted = [_parse_letter(letter) for letter in letters]

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.replay import hand_back, refuse_others
        from bridge.wiring.dead_letters import letter_subject, released_since

        letter_records = [await _letter(bridge, letter) for letter in wanted]
        gone = await released_since(bridge, BEGINNING)
        if again := [
            _number(letter) for letter in letter_records if letter_subject(letter) in gone
        ]:
            raise click.ClickException(f"already handed back: {', '.join(again)}")
        parked = [item.fixed for item in letter_records if isinstance(item.fixed, DeadLetter)]
        refuse_others(parked)
        if not yes:
            agents = ", ".join(sorted({letter.source for letter in parked}))
            count = f"{len(parked)} event{'s' * (len(parked) != 1)}"
            confirm(f"Hand {count} back to {agents}?")
        back = await hand_back(bridge.log, bridge.codec, bridge.name, parked, datetime.now(UTC))
        if as_json:
            print_json({"handed_back": back, "letters": [_number(item) for item in letter_records]})
        else:
            click.echo(f"handed back: {back}")
        return 0

    run_with_bridge(ctx, act)


def _number(record: DecodedRecord) -> str:
    return f"{record.record.partition}-{record.record.offset}"


def _row(record: DecodedRecord) -> dict[str, Any]:
    from bridge.cli.output.decoded import decoded_row

    row = decoded_row(record)
    # `topic`, `partition` and `offset` are those of the dead-lettered record, not of its letter.
    meant = {name: getattr(record.fixed, name) for name in ("topic", "partition", "offset")}
    return {"letter": _number(record), **row, "kind": row.pop("letter_kind"), **meant}


def _row_for_people(row: dict[str, Any]) -> dict[str, Any]:
    from bridge.cli.output.records import age_text, key_text

    back = "handed back: " if row["handed_back"] else ""
    return {
        **row,
        "age": age_text(row["at"]),
        "key": key_text(row["row_key"]) if row["row_key"] is not None else None,
        "reason": f"{back}{row['reason']}",
    }


async def _letter(bridge: Bridge, wanted: DeadLetterId) -> DecodedRecord:
    from bridge.wiring.dead_letters import find_letters

    letters = await find_letters(bridge, wanted)
    if not letters:
        raise NothingFound(f"there is no dead letter {wanted.text}; `bridgectl dead` lists them")
    if len(letters) > 1:
        numbers = ", ".join(_number(letter) for letter in letters)
        raise click.UsageError(f"{wanted.text} is ambiguous: {numbers}")
    return letters[0]


def _parse_letter(text: str) -> DeadLetterId:
    try:
        return parse_letter_id(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _subject(
    keys: KeyNames, record: DecodedRecord, carried: dict[str, Any] | None
) -> dict[str, Any]:
    """The row that a letter is about: its entity, and its key if known."""
    from bridge.wiring.raw_row_key import raw_row_key

    letter = record.fixed
    assert isinstance(letter, DeadLetter), "only these are read"  # noqa: S101
    if carried is not None and isinstance(carried.get("key"), dict):
        return {"entity": carried.get("entity"), "row_key": carried["key"]}
    entity = letter.source if letter.kind in ("row", "record") else None
    return {"entity": entity, "row_key": await raw_row_key(keys, letter)}


async def _carried(bridge: Bridge, letter_record: DecodedRecord) -> dict[str, Any] | None:
    """The event or command that a letter carries, decoded."""
    from bridge.cli.output.decoded import decoded_row
    from bridge.log.port import Record
    from bridge.wiring.decoding import Decoding

    letter = letter_record.fixed
    if not isinstance(letter, DeadLetter) or letter.value is None:
        return None
    record = Record(
        letter.topic or "",
        letter.partition or 0,
        letter.offset or 0,
        letter_record.record.timestamp,
        letter.key,
        letter.value,
        (),
    )
    return decoded_row(await Decoding(bridge).decode(record))


def _print(row: dict[str, Any]) -> None:
    from bridge.model.canonical import plain

    for name, value in row.items():
        if value is None or name in ("key", "value", "timestamp"):
            continue
        if name == "traceback":
            click.echo(f"{click.style(name, bold=True)}:\n{value}")
        elif isinstance(value, dict):
            text = json.dumps(plain(value), indent=2, ensure_ascii=False)
            click.echo(f"{click.style(name, bold=True)}:\n{safe_text(text)}")
        else:
            click.echo(f"{click.style(name, bold=True)}: {safe_text(str(plain(value)))}")
