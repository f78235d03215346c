"""`bridgectl commands send`: a command from a person."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.command_runner import as_json, run_with_bridge
from bridge.cli.output.rows import print_json
from bridge.cli.params.field_values import parse_key, parse_pairs
from bridge.cli.params.numbers import SECONDS
from bridge.cli.params.times import TIME
from bridge.model.errors import Rejected, RetryLater

if TYPE_CHECKING:
    from bridge.model.command import CommandRecord
    from bridge.model.specs import CommandSpec
    from bridge.model.types import Entity
    from bridge.wiring import Bridge

#: JSON has these types; all others are text there (decimals and timestamps too).
_AS_JSON = frozenset({"boolean", "integer", "float", "double", "array"})


@click.command(
    epilog="Example: bridgectl commands send erp.block_order --key 4711 --arg reason='on request'"
)
@click.argument("name", metavar="SYSTEM.COMMAND")
@click.option("--key", required=True, help="Key of the row: plain text, JSON or f=v,f=v.")
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument; repeatable.")
@click.option(
    "--expect",
    metavar="VERSION",
    help="Execute only while the row has this version, as shown by `bridgectl get ENTITY KEY --meta --json`.",
)
@click.option("--reason", help="Why; recorded in the audit trail.")
@click.option("--deadline", type=TIME, help="Don't start it after this time.")
@click.option(
    "--idempotency-key",
    metavar="TEXT",
    help="Sending the same key again is the same command. Default: a new key.",
)
@click.option("--by", metavar="PERSON", help="Who sends it. Default: the login name.")
@click.option("--dry-run", is_flag=True, help="Check it and show the record; send nothing.")
@click.option(
    "--wait",
    type=SECONDS,
    metavar="SECONDS",
    help="Wait this long for its receipt.",
)
@as_json
@click.pass_context
def send(
    ctx: click.Context,
    *,
    name: str,
    key: str,
    args: tuple[str, ...],
    expect: str | None,
    reason: str | None,
    deadline: int | None,
    idempotency_key: str | None,
    by: str | None,
    dry_run: bool,
    wait: float | None,
    as_json: bool,
) -> None:
    """Send a command as a person. Like every command it is checked, approved where its tier requires
    it, executed once and answered by a receipt.

    Its agent is `person-NAME`. With --wait the exit code is 0 when it succeeded, 1 otherwise.
    """

    async def act(bridge: Bridge, stop: asyncio.Event) -> int:
        del stop
        from bridge.commands.decision.arguments import check_args, find_command, qualify_command
        from bridge.commands.manual.send import seal_for_person, send_command
        from bridge.model.command import Command
        from bridge.wiring.entities import resolve_entity

        try:
            spec = find_command(bridge.declared, qualify_command(bridge.declared, name))
            arguments_json = arguments(spec, args)
            check_args(spec, arguments_json)
        except Rejected as error:
            raise click.UsageError(str(error)) from None
        entity = await resolve_entity(bridge, f"{spec.system}.{spec.entity}")
        target = _key(entity, key)
        record = seal_for_person(
            Command(
                spec.qualified,
                target,
                arguments_json,
                expect=expect,
                reason=reason,
                deadline=None if deadline is None else datetime.fromtimestamp(deadline / 1000, UTC),
            ),
            target,
            by=by or getpass.getuser(),
            at=datetime.now(UTC),
            idempotency_key=idempotency_key,
        )
        if not dry_run:
            await send_command(bridge.log, bridge.codec, spec, target, record)
        _show(record, sent=not dry_run, as_json=as_json)
        if dry_run or wait is None:
            return 0
        return await _wait(bridge, record, wait, as_json=as_json)

    run_with_bridge(ctx, act)


def arguments(spec: CommandSpec, texts: tuple[str, ...]) -> dict[str, Any]:
    """Parse `name=value` to the record's JSON values, by the declared types. Raises UsageError."""
    kinds = {arg.name: arg.type.name for arg in spec.args}
    try:
        texts_by_name = parse_pairs(texts)
    except ValueError as error:
        raise click.UsageError(f"--arg: {error}") from None
    values: dict[str, Any] = {}
    for name, text in texts_by_name.items():
        values[name] = text
        if kinds.get(name) in _AS_JSON:
            with contextlib.suppress(ValueError, RecursionError):  # it is then refused as text
                values[name] = json.loads(text)
    return values


def _key(entity: Entity, text: str) -> Mapping[str, Any]:
    try:
        return parse_key(entity, text)
    except ValueError as error:
        raise click.UsageError(f"--key: {error}") from None


def _show(record: CommandRecord, *, sent: bool, as_json: bool) -> None:
    if as_json:
        from bridge.cli.commands.history_row import history_row
        from bridge.commands.history import CommandHistory

        print_json({"sent": sent, **history_row(CommandHistory(record.id, record))})
        return
    click.echo(f"{'sent' if sent else 'would be sent'}: {record.name} {record.key} {record.args}")
    click.echo(f"id: {record.id}")


async def _wait(bridge: Bridge, record: CommandRecord, seconds: float, *, as_json: bool) -> int:
    """Follow the receipts until this command's arrives; returns 1 if it did not succeed."""
    from bridge.wiring.command_receipts import read_steps, wait_for_receipt

    try:
        async with asyncio.timeout(seconds):
            receipt = await wait_for_receipt(bridge, record)
    except TimeoutError:
        state = (await read_steps(bridge, record)).state_text
        raise RetryLater(
            f"no receipt of {record.id} within {seconds:g} s; it is {state}: "
            f"see `bridgectl commands show {record.id}`"
        ) from None
    if as_json:
        print_json(
            {
                "id": record.id,
                "outcome": receipt.outcome,
                "code": receipt.code,
                "message": receipt.message,
                "version": receipt.version,
                "position": receipt.position,
            }
        )
    else:
        why = " ".join(part for part in (receipt.code, receipt.message) if part)
        click.echo(f"{receipt.outcome} {why}".rstrip())
    return 0 if receipt.outcome == "succeeded" else 1
