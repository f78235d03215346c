"""Every statement that capture and commands need, and which login runs it: for `setup --show`.

If the server accepts the bridge's login, only what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.connector import SetupPlan, SetupStatement, System
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import CommandSpec
from connectors.postgres import ddl as sql
from connectors.postgres.catalog.tables import Connection, quote, split_name
from connectors.postgres.errors import translate_error
from connectors.postgres.options import options_of, slot_name
from connectors.postgres.setup.check import judge, ledger_sql
from connectors.postgres.setup.server_inspection import ServerFacts, inspect_server
from connectors.postgres.transport.copy_connection import connect
from connectors.sql.postgres.address import libpq_url
from connectors.sql.write.ledger import LEDGER_TABLE as LEDGER

SUPERUSER = "a superuser (of a managed server: its administrator)"
OWNER = "the owner of the tables, or a superuser"
#: The role where `url` names none.
DEFAULT_ROLE = "bridge"
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?'
_TARGETS = (
    (re.compile(rf"\bupdate\s+(?:only\s+)?({_NAME})\s", re.IGNORECASE), "UPDATE"),
    (re.compile(rf"\binsert\s+into\s+({_NAME})", re.IGNORECASE), "INSERT"),
    (re.compile(rf"\bdelete\s+from\s+(?:only\s+)?({_NAME})", re.IGNORECASE), "DELETE"),
)
_ROUTINE = re.compile(rf"\A\s*(?:call|select)\s+({_NAME})\s*\(", re.IGNORECASE)
_TABLE_RIGHT: LiteralString = """
    SELECT has_table_privilege(c.oid, %s) OR has_any_column_privilege(c.oid, %s)
      FROM pg_class c WHERE c.oid = to_regclass(%s)
"""
_ROW_RIGHT: LiteralString = """
    SELECT has_table_privilege(c.oid, %s) FROM pg_class c WHERE c.oid = to_regclass(%s)
"""
_ROUTINE_RIGHT: LiteralString = """
    SELECT p.oid::regprocedure::text, has_function_privilege(p.oid, 'EXECUTE')
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.proname = %s AND (n.nspname = %s OR %s = '' AND n.nspname = ANY(current_schemas(true)))
"""


async def setup_plan(system: System, commands: Sequence[CommandSpec]) -> SetupPlan:
    """As `bridge.connector.PlansSetup.setup_plan`."""
    try:
        connection = await connect(system, "setup")
    except (ConfigurationError, RetryLater) as error:
        return SetupPlan(tuple(_ordered(everything(system, commands))), str(error))
    try:
        facts = await inspect_server(system, connection)
        try:
            rights = [
                each
                for each in command_rights(commands, facts.role)
                if not await _granted(connection, each)
            ]
        except psycopg.Error as error:
            raise translate_error(error, system, "cannot read the rights of commands") from None
    finally:
        await connection.close()
    granted = [_statement(each) for each in rights]
    return SetupPlan(tuple(_ordered([*missing(facts, system), *granted])))


def everything(system: System, commands: Sequence[CommandSpec]) -> Iterator[SetupStatement]:
    """All that a server without any of it needs."""
    role = str(conninfo_to_dict(libpq_url(system.url)).get("user") or DEFAULT_ROLE)
    yield SetupStatement(
        sql.set_system("wal_level", "logical", restart=True), SUPERUSER, "unless it is already"
    )
    yield SetupStatement(
        f"CREATE ROLE {quote(role)} LOGIN REPLICATION",
        SUPERUSER,
        f"its password afterwards: \\password {role}; on Amazon RDS without REPLICATION, but with "
        f"GRANT rds_replication TO {quote(role)}",
    )
    tables: list[str] = []
    for use in system.tables:
        schema, name = split_name(use.table)
        tables.append(f"{quote(schema)}.{quote(name)}" if schema else quote(name))
    schemas = {split_name(use.table)[0] or "public" for use in system.tables}
    for schema in sorted(schemas):
        yield SetupStatement(sql.grant_usage(schema, role), OWNER)
    for table in tables:
        yield SetupStatement(sql.grant_select(table, role), OWNER, "for snapshots and reads")
    if tables:
        publication = sql.create_publication(options_of(system).publication, tables)
        yield SetupStatement(publication, OWNER, "the publication before the slot")
        yield SetupStatement(sql.create_slot(slot_name(system)), _own_login(role))
    if system.commands:
        yield SetupStatement(ledger_sql(), OWNER, "what took effect, in the effect's transaction")
        yield SetupStatement(sql.grant_ledger(quote(LEDGER), role), OWNER)
    for right in command_rights(commands, role):
        yield _statement(right)


def missing(facts: ServerFacts, system: System) -> Iterator[SetupStatement]:
    """What `check` would have run."""
    for finding in judge(facts, system):
        if not finding.fix or not (finding.fatal or finding.create):
            continue
        yield SetupStatement(finding.fix, login_of(finding.fix, facts.role), finding.what)
        if finding.fix == ledger_sql():
            yield SetupStatement(sql.grant_ledger(quote(LEDGER), facts.role), OWNER)


def login_of(statement: str, role: str) -> str:
    """Which login may run a statement."""
    if statement.startswith(("ALTER SYSTEM", "ALTER ROLE", "CREATE ROLE")):
        return SUPERUSER
    if statement.startswith("SELECT pg_create_logical_replication_slot"):
        return _own_login(role)
    return OWNER


def _own_login(role: str) -> str:
    return f"{role}, the login in `url` (the first `bridgectl run` does it by itself)"


class StatementRight(NamedTuple):
    """A right that the statement of a command needs. `name`: of the table or routine, as the
    statement has it.
    """

    right: str
    name: str
    role: str
    note: str


def command_rights(commands: Sequence[CommandSpec], role: str) -> list[StatementRight]:
    """What the declared statements need, as far as their words say; `check` asks the server."""
    rights: dict[tuple[str, str], StatementRight] = {}
    for command in commands:
        for right, name in _needs(command.run):
            note = f"for command {command.name!r}"
            rights.setdefault((right, name), StatementRight(right, name, role, note))
    return list(rights.values())


def _needs(statement: str) -> Iterable[tuple[str, str]]:
    routine = _ROUTINE.search(statement)
    if routine:
        yield "EXECUTE", routine[1]
    for pattern, right in _TARGETS:
        for match in pattern.finditer(statement):
            yield right, match[1]


def _statement(right: StatementRight) -> SetupStatement:
    where = f"ROUTINE {right.name}" if right.right == "EXECUTE" else right.name
    grant = f"GRANT {right.right} ON {where} TO {quote(right.role)}"
    return SetupStatement(grant, OWNER, right.note)


async def _granted(connection: Connection, right: StatementRight) -> bool:
    what, name = right.right, right.name
    rows: list[tuple[Any, ...]]
    if what == "EXECUTE":
        schema, routine = (part.strip('"') for part in split_name(name))
        cursor = await connection.execute(_ROUTINE_RIGHT, [routine, schema, schema])
        rows = await cursor.fetchall()
        return any(granted for _, granted in rows)
    if what == "DELETE":
        cursor = await connection.execute(_ROW_RIGHT, [what, name])
    else:
        cursor = await connection.execute(_TABLE_RIGHT, [what, what, name])
    rows = await cursor.fetchall()
    return bool(rows and rows[0][0])


def _ordered(plan: Iterable[SetupStatement]) -> list[SetupStatement]:
    """By login, in the order in which they can be run; each statement once."""
    kept: dict[str, SetupStatement] = {}
    for statement in plan:
        kept.setdefault(statement.sql, statement)
    order = [SUPERUSER, OWNER]
    return sorted(
        kept.values(),
        key=lambda each: order.index(each.login) if each.login in order else len(order),
    )
