"""`bridgectl commands retry`: ask again for commands that ended without effect."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, confirm, print_listing, progress, run_with_bridge
from bridge.cli.commands.read_histories import read_histories
from bridge.cli.commands.send import person
from bridge.cli.params.times import TIME
from bridge.model.errors import Fenced

if TYPE_CHECKING:
    from bridge.cli.commands.history import CommandHistory
    from bridge.commands.manual.retry import RetriedCommand, RetryRequest
    from bridge.model.specs import CommandSpec
    from bridge.wiring import Bridge

RETRYABLE = ("failed", "rejected", "expired", "cancelled")
COLUMNS = ("command", "row", "state", "code", "old", "new", "why")


@click.command(
    epilog="Example: bridgectl commands retry --state failed --code misconfigured --since '2d ago'"
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(RETRYABLE),
    help="Only commands that ended in this state; repeatable.",
)
@click.option(
    "--code", "codes", multiple=True, help="Only commands whose receipt has this code; repeatable."
)
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help="Only the command with this id; repeatable."
)
@click.option("--system", default="", help="Only commands of this system.")
@click.option("--name", default="", help="Only this command: erp.block_order.")
@click.option(
    "--since",
    type=TIME,
    help="Only commands requested from this time on: '1h ago', 2026-01-31T10:00.",
)
@click.option(
    "--deadline", type=TIME, help="Deadline of the new commands. Default: that of the old one."
)
@click.option("--reason", default="", help="Why; recorded in the audit trail.")
@click.option("--by", metavar="PERSON", help="Who sends them. Default: the login name.")
@click.option("--dry-run", is_flag=True, help="Show which commands; send nothing.")
@click.option("--yes", is_flag=True, help="Send them without asking.")
@as_json
@click.pass_context
def retry(
    ctx: click.Context,
    *,
    states: tuple[str, ...],
    codes: tuple[str, ...],
    ids: tuple[str, ...],
    system: str,
    name: str,
    since: int | None,
    deadline: int | None,
    reason: str,
    by: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Retry commands that ended without effect, once the cause is fixed.

    Each is sent as a new command with the same content. Its id is derived from the old one, so that
    retrying twice sends it once. Old receipts stay. For unknown outcomes use `commands settle`.
    """
    if not (states or codes or ids):
        raise click.UsageError("say which: --state, --code or --id")

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.commands.manual.retry import RetryRequest

        stories = await read_histories(bridge, None)
        wanted = [
            story
            for story in stories.values()
            if story.state in (states or RETRYABLE)
            and (not codes or (story.receipt is not None and story.receipt.code in codes))
            and (not ids or story.id in ids)
            and system in ("", story.name.partition(".")[0])
            and name in ("", story.name, story.name.partition(".")[2])
            and (since is None or (story.at is not None and story.at.timestamp() * 1000 >= since))
        ]
        request = RetryRequest(
            person(by or getpass.getuser()),
            reason,
            None if deadline is None else datetime.fromtimestamp(deadline / 1000, UTC),
            datetime.now(UTC),
        )
        rows, retries = _plan(wanted, stories, bridge.declared, request)
        if retries and not dry_run:
            if not yes:
                confirm(f"Send {len(retries)} of {len(wanted)} commands again?")
            with progress("sending again", len(retries)) as advance:
                await _send(bridge, retries, request, advance)
            for row in rows:
                row["sent"] = row["new"] is not None and row["why"] is None
        return print_listing(rows, COLUMNS, as_json=as_json, nothing="no command fits")

    run_with_bridge(ctx, act)


async def _send(
    bridge: Bridge,
    retries: Sequence[RetriedCommand],
    request: RetryRequest,
    report_written: Callable[[int], None],
) -> None:
    from bridge.commands.manual.retry import send_retries

    try:
        await send_retries(
            bridge.log,
            bridge.codec,
            bridge.name,
            retries,
            request=request,
            report_written=report_written,
        )
    except Fenced:
        raise click.ClickException(
            "somebody else is sending commands again right now; look at what they did, then "
            "retry: what was sent is not sent twice"
        ) from None


def _plan(
    wanted: list[CommandHistory],
    stories: Mapping[str, CommandHistory],
    declared: Mapping[str, CommandSpec],
    request: RetryRequest,
) -> tuple[list[dict[str, Any]], list[RetriedCommand]]:
    """What is shown of each, and what is to be sent. Pure."""
    from bridge.cli.output.records import key_text, parse_json_text
    from bridge.commands.manual.retry import RetriedCommand, retry_id, retry_of
    from bridge.model.system_records import Target

    rows: list[dict[str, Any]] = []
    retries: list[RetriedCommand] = []
    for story in wanted:
        old, spec = story.request, declared.get(story.name)
        why = _obstacle(story, stories, spec, request)
        if old is not None and spec is not None and not why:
            target = Target(spec.system, spec.entity, old.key)
            retries.append(RetriedCommand(story.id, retry_of(old, request), target))
        rows.append(
            {
                "command": story.name,
                "row": key_text(parse_json_text(old.key)) if old is not None else None,
                "state": story.state,
                "code": story.receipt.code if story.receipt is not None else None,
                "old": story.id,
                "new": retry_id(old) if old is not None else None,
                "why": why or None,
                "sent": False,
            }
        )
    return rows, retries


def _obstacle(
    story: CommandHistory,
    stories: Mapping[str, CommandHistory],
    spec: CommandSpec | None,
    request: RetryRequest,
) -> str:
    """Why a command is not sent again; empty where it is."""
    from bridge.commands.codes import only_claims_id
    from bridge.commands.manual.retry import retry_id

    old = story.request
    if old is None:
        return "its record is not in the log any more"
    if story.receipt is not None and only_claims_id(story.receipt.code):
        return "its record does not hold together, so that nobody knows whose it is"
    before = stories.get(retry_id(old))
    if before is not None:
        return f"was sent again before: {before.state}"
    if spec is None:
        return "it is not declared any more"
    deadline = old.deadline if request.deadline is None else request.deadline
    if deadline is not None and deadline <= request.at:
        return "its deadline is over: give another one by --deadline"
    return ""
