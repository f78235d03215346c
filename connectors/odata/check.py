"""Findings about the configuration, and how each entity set's changes are detected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, TypeVar

from bridge.connector import Finding, StatementProblem, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import BridgeError, ConfigurationError, Rejected
from bridge.model.specs import CommandSpec
from connectors.odata.capture.change_detection import ChangeDetection, choose_change_detection
from connectors.odata.capture.options import options_of
from connectors.odata.capture.pollers.changed import ChangedPoller
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.commands.binding import statement_problems
from connectors.odata.http.client import ODataClient
from connectors.odata.http.errors import is_refusal
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.metadata.field_types import TIME_TYPES
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.entity_table import build_table
from connectors.odata.protocol.query import query_options
from connectors.odata.protocol.row_check import row_values
from connectors.odata.protocol.timestamps import MICROSECOND_DIGITS, is_finer

T = TypeVar("T")
SAMPLE_ROWS = 20
"""Rows whose times are checked for their precision."""


async def check(system: System) -> list[Finding]:
    """As `bridge.connector.Connector.check`. An unreachable service is a finding, too."""
    try:
        client = ODataClient(system)
    except ConfigurationError as error:
        return [Finding(str(error))]
    try:
        service = await client.metadata()
        findings = [Finding(text) for text in _unknown_sets(system, service)]
        findings += _in_doubt_timeout_findings(system)
        for table_findings in await _for_each_table(
            system, lambda use: _table_findings(client, service, system, use)
        ):
            findings += table_findings
        return findings
    except BridgeError as error:
        return [Finding(str(error))]
    finally:
        await client.close()


async def describe_change_detection(system: System) -> Mapping[str, str]:
    """As `bridge.connector.DescribesChangeDetection.describe_change_detection`."""
    client, options = ODataClient(system), options_of(system.options)

    async def phrase(use: TableUse) -> str:
        try:
            return (await choose_change_detection(client, service, use, options)).phrase(options)
        except (ConfigurationError, Rejected):
            return ""  # `check` reports why it is not captured at all

    try:
        service = await client.metadata()
        phrases = await _for_each_table(system, phrase)
        return {use.table: text for use, text in zip(system.tables, phrases, strict=True) if text}
    finally:
        await client.close()


async def check_commands(system: System, commands: Sequence[CommandSpec]) -> list[StatementProblem]:
    """As `bridge.connector.ChecksCommands.check_commands`."""
    client = ODataClient(system)
    try:
        service = await client.metadata()
    finally:
        await client.close()
    return [
        StatementProblem(command.name, where, what)
        for command in commands
        for where, text in _statements(command)
        for what in statement_problems(text, service, is_probe=where == "probe")
    ]


def _statements(command: CommandSpec) -> list[tuple[Literal["run", "probe"], str]]:
    statements: list[tuple[Literal["run", "probe"], str]] = [("run", command.run)]
    return [*statements, ("probe", command.probe)] if command.probe else statements


async def unreadable_tables(
    client: ODataClient, service: ODataService, system: System
) -> dict[str, BridgeError]:
    """The tables that can't be read, and why: each is read once. Services also list sets that can be read
    only through another row, or that the login may not read.
    """
    errors: dict[str, BridgeError] = {}

    async def ask(use: TableUse) -> None:
        try:
            await _choose_and_try(client, service, system, use)
        except BridgeError as error:
            errors[use.table] = error

    await _for_each_table(system, ask)
    return {use.table: errors[use.table] for use in system.tables if use.table in errors}


async def finer_times(
    client: ODataClient, service: ODataService, system: System
) -> dict[str, list[str]]:
    """By table, the properties whose times are finer than microseconds in one of the first rows. Only
    properties that may be so by the metadata are checked, with one request per set.
    """
    names_by_table: dict[str, list[str]] = {}

    async def ask(use: TableUse) -> None:
        entity_set = service.sets.get(use.table)
        names = [
            name
            for name, p in (entity_set.properties if entity_set else {}).items()
            if (p.precision or 0) > MICROSECOND_DIGITS and p.edm in TIME_TYPES
        ]
        if entity_set is None or not names:
            return
        params = query_options(
            build_table(service, TableUse(use.table, (), tuple(names))), top=SAMPLE_ROWS
        )
        try:
            page = await client.page(use.table, params)
        except BridgeError:
            return  # `unreadable_tables` reports why
        rows = [row_values(entity_set, service.version, names, row) for row in page.rows]
        texts = [[row[index] for row in rows] for index in range(len(names))]
        names_by_table[use.table] = [
            name
            for name, values in zip(names, texts, strict=True)
            if any(isinstance(value, str) and is_finer(value) for value in values)
        ]

    await _for_each_table(system, ask)
    return names_by_table


async def _for_each_table(system: System, ask: Callable[[TableUse], Awaitable[T]]) -> list[T]:
    """`ask` of every table, in their order; as many at a time as connections are allowed: a request that
    waits for a connection would time out.
    """
    room = asyncio.Semaphore(max(1, system.connections))

    async def ask_in_turn(use: TableUse) -> T:
        async with room:
            return await ask(use)

    answers = await asyncio.gather(*map(ask_in_turn, system.tables), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def _unknown_sets(system: System, service: ODataService) -> list[str]:
    captured = {use.table for use in system.tables}
    return [
        f"system {system.name!r}: capture.sets names {name!r}, which no entity uses"
        for name in options_of(system.options).sets
        if name not in captured or name not in service.sets
    ]


def _in_doubt_timeout_findings(system: System) -> list[Finding]:
    limits = options_of(system.options)
    if not system.commands or limits.effective_in_doubt_timeout >= limits.timeout:
        return []
    return [
        Finding(
            f"system {system.name!r}: `in_doubt_timeout` ({limits.effective_in_doubt_timeout:g} s) is shorter than `timeout` "
            f"({limits.timeout:g} s): a command whose answer is lost is probed while the "
            "service may still be working on it, and perhaps sent twice",
            "leave `in_doubt_timeout` out, or set it to how long the service may work on a request",
            fatal=False,
        )
    ]


async def _choose_and_try(
    client: ODataClient, service: ODataService, system: System, use: TableUse
) -> tuple[ChangeDetection, bool]:
    """How the table is captured, and whether rows are missing the timestamp that it would go by."""
    options = options_of(system.options)
    chosen = await choose_change_detection(client, service, use, options)
    await client.page(use.table, query_options(chosen.table, top=1))
    poller = chosen.poller(client, options, time.monotonic)
    if not isinstance(poller, ChangedPoller):
        return chosen, False
    try:
        await poller.try_questions()
    except Rejected as error:
        mismatch = isinstance(error, AnswerMismatch) or is_refusal(error)
        if not mismatch or options.of(use.table).change_detection is not None:
            raise
        chosen = await choose_change_detection(
            client, service, use, options, except_methods=("delta", "changed")
        )
        return chosen, False
    return chosen, await poller.has_rows_without_timestamp()


async def _question_findings(
    client: ODataClient, service: ODataService, system: System, use: TableUse
) -> Sequence[Finding]:
    """Send each request of snapshots and of the gateway for a table once, and compare the answers with it."""
    where, table = f"system {system.name!r}: entity set {use.table!r}", build_table(service, use)
    findings: list[Finding] = []
    snapshot, reader = ODataSnapshot(system, client), ODataReader(system, client)
    try:
        await snapshot.try_questions(use.table)
    except AnswerMismatch as error:
        findings.append(Finding(f"system {system.name!r}: {error}"))
    except Rejected as error:
        findings.append(
            Finding(
                f"{where}: a snapshot of it can't be made: {error}",
                "fix the service, or leave the entity out",
            )
        )
        return findings
    findings += _page_size_findings(
        where, snapshot.most_rows(use.table), options_of(system.options).page
    )
    if snapshot.fault(use.table):
        findings.append(
            Finding(
                f"{where} can't be paged by its key: {snapshot.fault(use.table)}; the service's own links "
                "are followed instead",
                fatal=False,
            )
        )
    faults = await reader.try_forms(table)
    return [*findings, *(Finding(f"{where}: {text}", fatal=False) for text in faults)]


def _page_size_findings(where: str, most: int | None, page: int) -> list[Finding]:
    if most is None or most >= page:
        return []
    return [
        Finding(
            f"{where}: the service refuses more than about {most} rows at a time (`page` is {page}); fewer "
            "are asked for instead",
            f"set capture: {{page: {most}}}, which saves the refused requests",
            fatal=False,
        )
    ]


def _required_filter_finding(where: str, names: Sequence[str]) -> Finding:
    by = ", ".join(filter(None, names)) or "some property"
    return Finding(
        f"{where}: by the service's metadata its rows can only be read with a filter by {by}, "
        "so that its rows can't all be read",
        "leave the entity out, or make the service return its rows without a filter",
        fatal=False,
    )


async def _table_findings(
    client: ODataClient, service: ODataService, system: System, use: TableUse
) -> Sequence[Finding]:
    where, options = f"system {system.name!r}", options_of(system.options)
    try:
        chosen, blind = await _choose_and_try(client, service, system, use)
        findings = list(await _question_findings(client, service, system, use))
    except BridgeError as error:
        text = str(error)
        failure = Finding(text if text.startswith(where) else f"{where}: {text}")
        entity_set = service.sets.get(use.table)
        if entity_set is None or not entity_set.required_filters:
            return [failure]
        set_place = f"{where}: entity set {use.table!r}"
        return [failure, _required_filter_finding(set_place, entity_set.required_filters)]
    if chosen.method == "listing" and options.of(use.table).change_detection is None:
        findings.append(
            Finding(
                f"{where}: entity set {use.table!r} tracks no changes and has no time of change, "
                f"so all of its rows are read every {options.poll:g} s",
                "switch change tracking on in the service, or name a property that every change "
                f"raises: capture: {{sets: {{{use.table}: {{changed: PROPERTY}}}}}}",
                fatal=False,
            )
        )
    if blind:
        findings.append(
            Finding(
                f"{where}: rows of entity set {use.table!r} carry no {chosen.changed}; changes of "
                f"them are found only by comparing with the log, every {options.reconcile:g} s",
                f"fill {chosen.changed} in, or set another property under capture.sets",
                fatal=False,
            )
        )
    return findings
