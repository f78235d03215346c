"""`bridgectl commands retry`: retries commands that ended without effect."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, confirm, print_listing, progress, run_with_bridge
from bridge.cli.commands.read_histories import read_histories
from bridge.cli.params.times import TIME
from bridge.model.agent_name import person_agent
from bridge.model.errors import Fenced
from bridge.model.receipt import ENDED_WITHOUT_EFFECT

if TYPE_CHECKING:
    from bridge.commands.manual.plan_retries import PlannedRetry
    from bridge.commands.manual.retry import RetriedCommand, RetryRequest
    from bridge.wiring import Bridge

COLUMNS = ("command", "row", "state", "code", "old", "new", "why")


@click.command(
    epilog="Example: bridgectl commands retry --state failed --code misconfigured --since '2d ago'"
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in ENDED_WITHOUT_EFFECT]),
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
        raise click.UsageError("select commands with --state, --code or --id")

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.commands.history import CommandFilter
        from bridge.commands.manual.plan_retries import plan_retries
        from bridge.commands.manual.retry import RetryRequest

        histories = await read_histories(bridge, None)
        wanted = CommandFilter(states or ENDED_WITHOUT_EFFECT, codes, ids, system, name, since)
        chosen = [history for history in histories.values() if wanted.takes(history)]
        request = RetryRequest(
            person_agent(by or getpass.getuser()),
            reason,
            None if deadline is None else datetime.fromtimestamp(deadline / 1000, UTC),
            datetime.now(UTC),
        )
        plans = plan_retries(chosen, histories, bridge.declared, request)
        retries = [planned.command for planned in plans if planned.command is not None]
        sends = bool(retries) and not dry_run
        if sends:
            if not yes:
                confirm(f"Send {len(retries)} of {len(chosen)} commands again?")
            with progress("sending again", len(retries)) as advance:
                await _send(bridge, retries, request, advance)
        rows = [_row(planned, sent=sends) for planned in plans]
        return print_listing(rows, COLUMNS, as_json=as_json, nothing="no command matches")

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
            "another person is retrying commands right now; check what they did, then "
            "retry: nothing is sent twice"
        ) from None


def _row(planned: PlannedRetry, *, sent: bool) -> dict[str, Any]:
    from bridge.cli.output.records import key_text, parse_json_text

    history = planned.history
    request, receipt = history.request, history.receipt
    return {
        "command": history.name,
        "row": key_text(parse_json_text(request.key)) if request is not None else None,
        "state": history.state,
        "code": receipt.code if receipt is not None else None,
        "old": history.id,
        "new": planned.new_id,
        "why": planned.obstacle or None,
        "sent": sent and planned.command is not None,
    }
