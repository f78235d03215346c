"""`bridgectl setup`: creates what capture and commands need in a legacy system."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import as_json, confirm, finish, load_configuration, run_async
from bridge.cli.output.rows import print_json
from bridge.model.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.connector import SetupPlan, System


@click.command(epilog="Example: bridgectl setup erp --show")
@click.argument("system")
@click.option("--show", is_flag=True, help="Only print the statements.")
@click.option("--yes", is_flag=True, help="Run them without asking.")
@as_json
@click.pass_context
def command(ctx: click.Context, *, system: str, show: bool, yes: bool, as_json: bool) -> None:
    """Create in SYSTEM what is still missing: publication, slot, journal, ledger.

    The statements are shown first. Running it again is harmless. A table that can't be set up
    doesn't affect the others: it is named at the end, with exit code 1. For PostgreSQL, --show also
    prints roles and permissions, and which login runs which line.
    """
    from bridge.connector import PlansSetup
    from bridge.wiring.connectors import build_system, load_connector
    from bridge.wiring.missing_setup import missing_statements

    config = load_configuration(ctx)
    system_config = next((item for item in config.systems if item.spec.name == system), None)
    if system_config is None:
        system_names = ", ".join(item.spec.name for item in config.systems)
        raise ConfigurationError(f"there is no system {system!r}; systems are {system_names}")
    connector = load_connector(system_config)
    target_system = build_system(config.bridge, system_config, connector)
    if show and isinstance(connector, PlansSetup):
        _print_plan(
            target_system,
            asyncio.run(connector.setup_plan(target_system, system_config.spec.commands)),
            as_json,
        )
        return
    statements = connector.setup_sql(target_system)
    if show:
        _print(system, statements, as_json=as_json)
        return
    if statements:
        statements = asyncio.run(missing_statements(connector, target_system))
    if not statements:
        click.echo(f"system {system}: nothing is missing", err=True)
        return
    if not as_json:
        _print(system, statements, as_json=False)
    if not yes:
        confirm(f"Run this on {target_system.shown_url}?")

    async def act(stop: asyncio.Event) -> int:
        del stop
        ran = await connector.setup(target_system)
        if as_json:
            _print(system, ran, as_json=True)
        click.echo(f"system {system}: statements that ran: {len(ran)}", err=True)
        left = [
            item for item in await connector.check(target_system) if item.fatal and not item.create
        ]
        for item in left:
            click.echo(f"system {system}: still wrong: {item.what}", err=True)
            if item.fix:
                click.echo(f"    {item.fix}", err=True)
        return 1 if left else 0

    finish(run_async(act))


def _print_plan(system: System, plan: SetupPlan, as_json: bool) -> None:
    """The statements under the login that runs them, as a script with comments."""
    if plan.unasked:
        click.echo(
            f"system {system.name}: what exists could not be determined, so these are all "
            f"statements that it needs: {plan.unasked}",
            err=True,
        )
    elif not plan.statements:
        click.echo(f"system {system.name}: nothing is missing", err=True)
    login = ""
    for statement in plan.statements:
        if as_json:
            print_json(
                {
                    "system": system.name,
                    "statement": statement.sql,
                    "login": statement.login,
                    "note": statement.note,
                }
            )
            continue
        if statement.login != login:
            click.echo(f"-- run as {statement.login}:")
        login = statement.login
        if statement.note:
            click.echo(f"-- {statement.note}")
        click.echo(statement.sql if "; --" in statement.sql else f"{statement.sql};")


def _print(system: str, statements: list[str], *, as_json: bool) -> None:
    for statement in statements:
        if as_json:
            print_json({"system": system, "statement": statement})
        else:
            click.echo(f"{statement.rstrip().rstrip(';')};")
