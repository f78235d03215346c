"""Findings about the configuration, and how each model's changes are detected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial

from bridge.connector import Finding, StatementProblem, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import seen_again
from bridge.model.errors import BridgeError, ConfigurationError, Rejected
from bridge.model.specs import CommandSpec
from connectors.tryton.capture.poll import DELETION_LOG_MODEL, changed_since
from connectors.tryton.capture.recent_changes import micros_of
from connectors.tryton.commands.command_check import command_problems
from connectors.tryton.commands.definitions import ErpDefinitions
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model import CREATED, ID
from connectors.tryton.metadata.model_table import ModelTable, column_problems, read_model
from connectors.tryton.options import TrytonOptions
from connectors.tryton.protocol.domain_check import names_in


async def check(system: System) -> list[Finding]:
    """As `bridge.connector.Connector.check`. An unreachable ERP is a finding, too."""
    try:
        async with TrytonClient(system) as client:
            await client.log_in()
            findings = list(_unused_contexts(client, system))
            for use in system.tables:
                findings += [finding async for finding in _check_table(client, system, use)]
            findings += [finding async for finding in _check_deletions(client, system)]
            return findings
    except BridgeError as error:
        return [Finding(str(error))]


async def check_commands(system: System, commands: Sequence[CommandSpec]) -> list[StatementProblem]:
    """As `bridge.connector.ChecksCommands.check_commands`."""
    async with TrytonClient(system) as client:
        return await command_problems(commands, ErpDefinitions(client, f"system {system.name!r}"))


async def describe_change_detection(system: System) -> Mapping[str, str]:
    """As `bridge.connector.DescribesChangeDetection.describe_change_detection`."""
    async with TrytonClient(system) as client:
        logged, options = await reads_log(client), client.options
    phrase = _phrase(options, logged=logged)
    return {use.table: phrase for use in system.tables}


def _phrase(options: TrytonOptions, *, logged: bool) -> str:
    deletions = f"by comparing ids every {options.reconcile:g} s"
    if logged:
        deletions = f"by ir.model.log, and {deletions}"
    return (
        f"create_date and write_date with {options.overlap:g} s overlap, every "
        f"{options.poll:g} s; deletions {deletions}"
    )


async def reads_log(client: TrytonClient) -> bool:
    """Whether this user may read the ERP's log of deletions."""
    try:
        await client.search_read(DELETION_LOG_MODEL, [["event", "=", "delete"]], [ID], limit=1)
    except (Rejected, ConfigurationError):
        return False
    return True


def _unused_contexts(client: TrytonClient, system: System) -> Iterator[Finding]:
    for name in client.options.contexts:
        if name not in {use.table for use in system.tables}:
            yield Finding(
                f"system {system.name!r}: capture.contexts names {name!r}, which no entity uses"
            )


async def _check_table(
    client: TrytonClient, system: System, use: TableUse
) -> AsyncIterator[Finding]:
    where = f"system {system.name!r}"
    try:
        model = await read_model(client, use.table, where)
    except (Rejected, ConfigurationError) as error:
        yield Finding(_with_system(where, error))
        return
    table = ModelTable(model, use)
    for problem in column_problems(table, use):
        yield Finding(f"{where}: model {use.table!r}: {problem}")
    computed = [
        field.name for field in table.fields if field.computed and field.name in use.columns
    ]
    if computed:
        yield Finding(
            f"{where}: model {use.table!r}: Tryton computes {', '.join(computed)} from other fields, so "
            "that a change of these alone is not noticed",
            "declare the models that they are computed from, and relations to those",
            fatal=False,
        )
    try:
        await client.search_read(use.table, [], [*table.names, CREATED], limit=1)
        await _check_conditions(client, use.table)
    except AnswerMismatch as error:
        yield Finding(_with_system(where, error))
    except Rejected as error:
        yield Finding(
            _with_system(where, error),
            f"give a group of the bridge's user the right to read {use.table} in Tryton: "
            "Administration > Models > Access Rights",
        )


async def _check_conditions(client: TrytonClient, model: str) -> None:
    """Send each request of capture and reads for a model once. Raises AnswerMismatch."""
    overlooked = await seen_again(partial(_overlooked, client, model))
    if overlooked is not None:
        raise AnswerMismatch(
            f"model {model!r}: the condition on {overlooked[0]} doesn't find an existing row"
        )


async def _overlooked(client: TrytonClient, model: str) -> tuple[str, ...] | None:
    """The fields of a condition that doesn't find the second row, and the condition."""
    ids = await client.search(model, [], limit=2)
    rows = await client.search_read(model, [], [CREATED], limit=2)
    if len(ids) < 2 or len(rows) < 2:
        return None
    created = micros_of(rows[1][CREATED]) if rows[1][CREATED] else 0
    for domain in (
        [[ID, ">", ids[0]]],
        [[ID, "in", ids[1:]]],
        [[ID, "=", ids[1]]],
        changed_since(created),
    ):
        if (
            not await client.search_read(model, domain, [ID], limit=2)
            and await client.search(model, [], limit=1) == ids[:1]
        ):
            return ", ".join(dict.fromkeys(names_in(domain))), repr((ids, rows, domain))
    return None


async def _check_deletions(client: TrytonClient, system: System) -> AsyncIterator[Finding]:
    if not await reads_log(client):
        yield Finding(
            f"system {system.name!r}: this user may not read {DELETION_LOG_MODEL}, so deletions are only found by "
            f"comparing ids every {client.options.reconcile:g} s",
            "make the bridge's user an administrator of Tryton (Administration > Users > Users), for "
            "only those may read that log; or set a lower reconcile",
            fatal=False,
        )
    for use in system.tables:
        if use.key and use.key != (ID,):
            yield Finding(
                f"system {system.name!r}: the key of model {use.table!r} is "
                f"{', '.join(use.key)}: deletions don't carry it, so the model is compared with "
                "the log after each one",
                "use `key: [id]` if the model is large",
                fatal=False,
            )


def _with_system(where: str, error: BridgeError) -> str:
    text = str(error)
    return text if where in text else f"{where}: {text}"
