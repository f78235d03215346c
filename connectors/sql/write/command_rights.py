"""Whether the login may execute declared statements: the server plans them without running any.

`EXPLAIN` checks every right that the statement itself needs. What functions, procedures and triggers
do inside is only known once they run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import CommandRight, Effect, System
from bridge.model.specs import CommandSpec
from connectors.sql.dialect import SqlDialect
from connectors.sql.engine import make_engine
from connectors.sql.errors import first_line, translating_errors
from connectors.sql.postgres.errors import MISSING_RIGHT_STATE, sqlstate
from connectors.sql.sqlite.connection import BEGIN_OPTION
from connectors.sql.sqlite.errors import is_unwritable
from connectors.sql.threads import ConnectionThreads
from connectors.sql.write.statement import parameters_of
from connectors.sql.write.statement_form import StatementForms, is_about_types

EXPLAINABLE_STATEMENT = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(select|insert|update|delete|merge|with|values|replace)\b",
    re.IGNORECASE | re.DOTALL,
)
CALL_STATEMENT = re.compile(
    r"""\s*call\s+(?:(?P<schema>"[^"]+"|[\w$]+)\.)?(?P<name>"[^"]+"|[\w$]+)\s*\(""", re.IGNORECASE
)
PROCEDURES_QUERY = """
SELECT p.oid::regprocedure::text, has_function_privilege(p.oid, 'EXECUTE')
       AND has_schema_privilege(n.oid, 'USAGE')
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.proname = :name AND p.prokind = 'p'
   AND CASE WHEN :schema = '' THEN pg_catalog.pg_function_is_visible(p.oid)
            ELSE n.nspname = :schema END
 ORDER BY 1
"""
INSERT_STATEMENT = re.compile(
    r"""\s*insert\s+into\s+(?P<table>(?:(?:"[^"]+"|[\w$]+)\.)?(?:"[^"]+"|[\w$]+))""", re.IGNORECASE
)
SEQUENCES_QUERY = """
SELECT s.oid::regclass::text, quote_ident(current_user)
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
 WHERE d.refobjid = to_regclass(:name) AND d.deptype = 'a'
   AND NOT has_sequence_privilege(s.oid, 'USAGE')
 ORDER BY 1
"""
_DENIED = re.compile(
    r"permission denied for (table|relation|view|materialized view|sequence|schema|function"
    r"|procedure) (.+)$"
)
_GRANTS = {
    "sequence": "USAGE ON SEQUENCE",
    "schema": "USAGE ON SCHEMA",
    "function": "EXECUTE ON FUNCTION",
    "procedure": "EXECUTE ON PROCEDURE",
}
_WRITES = {"insert": "SELECT, INSERT", "update": "SELECT, UPDATE", "delete": "SELECT, DELETE"}


async def check_rights(
    system: System, dialect: SqlDialect, commands: Sequence[CommandSpec]
) -> list[CommandRight]:
    """As `bridge.connector.ChecksRights.check_rights`."""

    def act(connection: Connection) -> list[CommandRight]:
        with connection.begin() as transaction:
            verdicts = [
                verdict
                for spec in commands
                if (verdict := _verdict(connection, dialect, spec)) is not None
            ]
            transaction.rollback()
        return verdicts

    threads = ConnectionThreads(make_engine(system, busy_timeout_s=0.0), 1, "rights")
    try:
        with translating_errors(f"system {system.name!r}: asking for rights"):
            if dialect.name == "sqlite":
                refusal = await threads.run(_unwritable)
                if refusal:
                    return [CommandRight(spec.name, "missing", refusal) for spec in commands]
            return await threads.run(act)
    finally:
        await threads.close()


def _unwritable(connection: Connection) -> str:
    """Why an SQLite file can't be written; empty: it can, or is busy just now."""
    try:
        with connection.execution_options(
            **{BEGIN_OPTION: "BEGIN IMMEDIATE"}
        ).begin() as transaction:
            # The lock alone can be had for a read-only file, too.
            version = connection.exec_driver_sql("PRAGMA user_version").scalar()
            connection.exec_driver_sql(f"PRAGMA user_version = {version}")
            transaction.rollback()
    except sa_exc.DBAPIError as error:
        if is_unwritable(error.orig or error):
            return f"the file can't be written by this user: {first_line(error)}"
    return ""


def _verdict(connection: Connection, dialect: SqlDialect, spec: CommandSpec) -> CommandRight | None:
    call = CALL_STATEMENT.match(spec.run)
    if call is not None and dialect.name == "postgresql":
        return _procedure(connection, spec, call)
    if not EXPLAINABLE_STATEMENT.match(spec.run):
        return CommandRight(spec.name, "unasked", "EXPLAIN takes no such statement")
    return _explained(connection, dialect, spec)


def _explained(
    connection: Connection, dialect: SqlDialect, spec: CommandSpec
) -> CommandRight | None:
    """The server's answer to the statement with null for each parameter."""
    values = dict.fromkeys(parameters_of(spec.run))
    types = {arg.name: arg.type for arg in spec.args}
    effect = Effect("", "", spec.run, values, "", {}, types=types)
    forms = StatementForms(dialect)
    form = forms.of(effect)
    refusal: sa_exc.DBAPIError | None = None
    while True:
        savepoint = connection.begin_nested()
        try:
            connection.execute(form.clause(f"EXPLAIN {spec.run}"), values).close()
            savepoint.rollback()
        except sa_exc.DBAPIError as error:
            savepoint.rollback()
            if refusal is None or not is_about_types(error):
                refusal = error
            following = forms.following(effect, form, error)
            if following is None:
                return _refused(connection, spec, refusal)
            form = following
        else:
            return _sequence(connection, spec) if dialect.name == "postgresql" else None


def _sequence(connection: Connection, spec: CommandSpec) -> CommandRight | None:
    """For an INSERT: the sequences of its table's own defaults, which EXPLAIN doesn't check."""
    insert = INSERT_STATEMENT.match(spec.run)
    if insert is None:
        return None
    row = connection.execute(sa.text(SEQUENCES_QUERY), {"name": insert["table"]}).first()
    if row is None:
        return None
    what = f"permission denied for sequence {row[0]}"
    return CommandRight(spec.name, "missing", what, f"GRANT USAGE ON SEQUENCE {row[0]} TO {row[1]}")


def _refused(connection: Connection, spec: CommandSpec, refusal: sa_exc.DBAPIError) -> CommandRight:
    line = first_line(refusal)
    if sqlstate(refusal.orig or refusal) != MISSING_RIGHT_STATE:
        return CommandRight(spec.name, "wrong", f"the system refuses the statement: {line}")
    role = str(connection.execute(sa.text("SELECT quote_ident(current_user)")).scalar())
    return CommandRight(spec.name, "missing", line, _grant(line, spec.run, role))


def _grant(line: str, statement: str, role: str) -> str:
    """The statement that grants what is missing, if the server's message names it."""
    denied = _DENIED.search(line)
    if denied is None:
        return ""
    kind, name = denied[1], denied[2]
    verb = EXPLAINABLE_STATEMENT.match(statement)
    rights = _GRANTS.get(kind) or f"{_WRITES.get(verb[1].lower() if verb else '', 'SELECT')} ON"
    return f"GRANT {rights} {name} TO {role}"


def _procedure(
    connection: Connection, spec: CommandSpec, call: re.Match[str]
) -> CommandRight | None:
    names = {"schema": _folded(call["schema"] or ""), "name": _folded(call["name"])}
    rows = connection.execute(sa.text(PROCEDURES_QUERY), names).all()
    called = ".".join(part for part in names.values() if part)
    if not rows:
        return CommandRight(spec.name, "wrong", f"there is no procedure {called}")
    refused = [signature for signature, may in rows if not may]
    if len(refused) < len(rows):
        return None
    role = str(connection.execute(sa.text("SELECT quote_ident(current_user)")).scalar())
    grant = f"GRANT EXECUTE ON PROCEDURE {refused[0]} TO {role}"
    return CommandRight(spec.name, "missing", f"permission denied for procedure {called}", grant)


def _folded(name: str) -> str:
    """A name as the catalogue has it."""
    return name[1:-1] if name.startswith('"') else name.lower()
