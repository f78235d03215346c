"""`bridgectl commands`: the commands of agents and people, and their outcomes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import NothingFound, as_json, print_listing, run_with_bridge
from bridge.cli.commands.read_histories import read_histories
from bridge.cli.commands.retry import retry
from bridge.cli.commands.send import send
from bridge.cli.commands.settle import settle
from bridge.cli.output.page import NewestPage, after_option, limit_option
from bridge.cli.output.rows import print_json
from bridge.cli.params.times import TIME
from bridge.model.receipt import State

if TYPE_CHECKING:
    from bridge.commands.history import CommandHistory
    from bridge.wiring import Bridge

COLUMNS = ("requested", "name", "row", "state", "by", "why", "id")


@click.group(
    invoke_without_command=True,
    epilog="Example: bridgectl commands --state failed --since '1d ago'",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["waiting", *(state.value for state in State)]),
    help="Only this state; repeatable.",
)
@click.option("--name", default="", help="Only this command: erp.block_order.")
@click.option("--id", "command_id", default="", help="Only the command with this id.")
@click.option(
    "--since",
    type=TIME,
    help="Only commands requested from this time on: '1h ago', 2026-01-31T10:00.",
)
@limit_option
@after_option("ID")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    states: tuple[str, ...],
    name: str,
    command_id: str,
    since: int | None,
    limit: int,
    after: str,
    as_json: bool,
) -> None:
    """List commands and their outcomes, newest last.

    Commands in state `unknown` wait for a person: the bridge can't tell whether they took effect.
    Check the system, then run `bridgectl commands settle`.
    """
    if ctx.invoked_subcommand is not None:
        return

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.cli.commands.history_row import history_row
        from bridge.commands.history import CommandFilter

        del stop
        wanted = CommandFilter(states, name=name, ids=[command_id] if command_id else ())
        page: NewestPage[CommandHistory] = NewestPage(limit, after)
        for history in (await read_histories(bridge, since)).values():
            if wanted.takes(history):
                page.add(history.id, history)
        rows = [history_row(each) if as_json else _line(each) for each in page.items]
        page.report("commands")
        return print_listing(rows, COLUMNS, as_json=as_json, nothing="no command matches")

    run_with_bridge(ctx, act)


@command.command(epilog="Example: bridgectl commands show credit-watch:mfrggzdfmztwq2lknnwg23tp")
@click.argument("command_id", metavar="ID")
@as_json
@click.pass_context
def show(ctx: click.Context, *, command_id: str, as_json: bool) -> None:
    """Show one command: request, audit trail, receipt, and the change that confirmed it."""

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.cli.commands.history_row import history_row
        from bridge.wiring.confirming_change import find_confirming_change

        del stop
        history = (await read_histories(bridge, None)).get(command_id)
        if history is None:
            raise NothingFound(
                f"there is no command {command_id!r}; `bridgectl commands` lists them"
            )
        change = await find_confirming_change(bridge, history)
        if as_json:
            print_json({**history_row(history), "confirmed": change})
        else:
            _print(history, change)
        return 0

    run_with_bridge(ctx, act)


command.add_command(send)
command.add_command(settle)
command.add_command(retry)


def _line(history: CommandHistory) -> dict[str, Any]:
    from bridge.cli.commands.history_row import history_row
    from bridge.cli.output.records import key_text, local_time

    row = history_row(history)
    return {
        "requested": local_time(history.at) if history.at else None,
        "name": history.name,
        "row": key_text(row["key"]) if row["key"] is not None else None,
        "state": history.state,
        "by": row["agent"],
        "why": row["message"] or row["reason"],
        "id": history.id,
    }


def _print(history: CommandHistory, change: dict[str, Any] | None) -> None:
    from bridge.cli.commands.history_row import history_row
    from bridge.cli.output.records import key_text, local_time
    from bridge.cli.output.rows import cell

    row = history_row(history)
    click.echo(f"{click.style(history.name, bold=True)} {key_text(row['key'])}: {history.state}")
    for name, value in row.items():
        if value is None or name in ("name", "state", "key", "steps"):
            continue
        click.echo(f"  {name}: {cell(value)}")
    for step in row["steps"]:
        why = " ".join(part for part in (step["code"], step["message"]) if part)
        click.echo(
            f"  {local_time(step['at'])}  {step['state']:<18} by {step['by']}  {why}".rstrip()
        )
    if change is not None:
        click.echo(
            f"  confirmed by the change of {change['entity']} at {change['position']}, "
            f"{change['topic']}-{change['partition']} offset {change['offset']}"
        )
