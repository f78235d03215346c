"""`bridgectl commands settle`: records an outcome that only a person could determine."""

from __future__ import annotations

import asyncio
import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import NothingFound, as_json, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.model.agent_name import person_agent
from bridge.model.errors import Fenced, Rejected

if TYPE_CHECKING:
    from bridge.wiring import Bridge


@click.command(
    epilog="Example: bridgectl commands settle credit-watch:mfrggzdfmztwq2lknnwg23tp --as succeeded "
    "--reason 'order 4711 is there, once'"
)
@click.argument("command_id", metavar="ID")
@click.option(
    "--as",
    "outcome",
    required=True,
    type=click.Choice(["succeeded", "failed"]),
    help="succeeded: it took effect; failed: it did not, and won't any more.",
)
@click.option(
    "--reason", required=True, help="What you looked at and saw; recorded in the audit trail."
)
@click.option("--by", metavar="PERSON", help="Who looked. Default: the login name.")
@as_json
@click.pass_context
def settle(
    ctx: click.Context,
    *,
    command_id: str,
    outcome: str,
    reason: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Record the outcome of a command whose outcome is unknown, after checking its system.

    Nothing is executed. The command gets its receipt (code `settled`), and the audit trail records
    who decided and why; if it is sent again, that receipt answers it.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        from bridge.commands.manual import conclude as settling
        from bridge.model.receipt import Outcome
        from bridge.wiring.command_histories import find_command

        del stop
        history, target = await find_command(bridge, command_id)
        if history is None or history.request is None or target is None:
            raise NothingFound(
                f"there is no command {command_id!r}; `bridgectl commands --state unknown` lists "
                "those that wait for a person"
            )
        finding = settling.Verdict(Outcome(outcome), person_agent(by or getpass.getuser()), reason)
        try:
            course = settling.conclude(history.request, history.receipt, finding, datetime.now(UTC))
            await settling.write_conclusion(bridge.log, bridge.codec, bridge.name, target, course)
        except (Rejected, Fenced) as error:
            raise click.ClickException(str(error)) from None
        if as_json:
            print_json({"id": command_id, "outcome": outcome, "by": finding.by, "reason": reason})
        else:
            click.echo(f"{command_id} is settled: {outcome}")
        return 0

    run_with_bridge(ctx, act)
