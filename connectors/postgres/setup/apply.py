"""Make what capture and commands need: publication, slot, ledger. Only on request."""

from __future__ import annotations

import psycopg

from bridge.closing import close_all
from bridge.connector import System
from bridge.model.errors import ConfigurationError
from connectors.postgres import ddl as sql
from connectors.postgres.catalog.table_defects import is_logged
from connectors.postgres.catalog.tables import quote, split_name
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of, slot_name
from connectors.postgres.setup.blockers import blockers_of, run_watched
from connectors.postgres.setup.check import judge, ledger_sql
from connectors.postgres.setup.replica_identity import weak_identity
from connectors.postgres.setup.server_inspection import ServerFacts, inspect_server
from connectors.postgres.transport.copy_connection import connect

SERVER_TIMEOUT_GRACE_S = 10.0
"""How long a server may take to end a statement whose time is over."""


def setup_sql(system: System) -> list[str]:
    """What `setup` runs on a database that has none of it."""
    tables = []
    for use in system.tables:
        schema, name = split_name(use.table)
        tables.append(f"{quote(schema)}.{quote(name)}" if schema else quote(name))
    statements = [
        sql.create_publication(options_of(system).publication, tables),
        sql.create_slot(slot_name(system)),
    ]
    return [*statements, ledger_sql()] if system.commands else statements


def needed(facts: ServerFacts, system: System) -> list[str]:
    """The statements that are still to be run, the slot after the publication that it reads.

    A table that is missing, or must not be published, is left out. Raises ConfigurationError with
    the reasons where such tables are all that keeps the set-up from being complete.
    """
    problems = list(facts.absent)
    for table in facts.tables:
        if not is_logged(table):
            problems.append(f"changes of table {table.configured!r} are not in the WAL")
            continue
        weak = weak_identity(table, facts)
        if weak is not None:
            problems.append(f"{weak.what}; first run: {weak.fix}")
    statements = [finding.fix for finding in judge(facts, system) if finding.create]
    capturable = len(facts.tables) + len(facts.absent) > len(problems)
    if problems and not (statements and capturable):
        raise ConfigurationError(f"system {system.name!r}: {'; '.join(problems)}")
    return statements


async def setup(system: System) -> list[str]:
    """As `bridge.connector.Connector.setup`. A statement may wait `answer_timeout` for others: a slot for
    every transaction that writes, a publication for sessions that alter its tables.
    """
    connection = await connect(system, "setup")
    beside = await connect(system, "setup watch")
    limit_s = options_of(system).answer_timeout
    try:
        todo = needed(await inspect_server(system, connection), system)
        # An unavailable standby must not delay the set-up: its commits need no replication.
        await connection.execute("SET synchronous_commit = local")
        # The server itself ends a statement that waits too long: a slot must not be created later on.
        await connection.execute(f"SET statement_timeout = {round(limit_s * 1000)}")
        connection.limit = limit_s + SERVER_TIMEOUT_GRACE_S
        pid = connection.info.backend_pid
        for statement in todo:
            try:
                await run_watched(connection, statement, lambda: blockers_of(beside, pid))
            except psycopg.Error as error:
                raise translate_error(error, system, f"cannot run {statement}") from None
        return todo
    finally:
        await close_all(beside.close, connection.close)
