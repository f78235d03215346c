"""What a journal needs in the legacy database, and what is wrong with what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from bridge.connector import Finding, System
from bridge.model.errors import ConfigurationError
from connectors.journal.dialects.contract import JournalDialect
from connectors.journal.layout import Layout, layout_for
from connectors.sql.read.rows import no_key
from connectors.sql.schema.tables import TableCatalog, read_table
from connectors.sql.write import ledger


def layouts_for(
    connection: Connection,
    system: System,
    dialect: JournalDialect,
    catalogs: Mapping[str, TableCatalog],
) -> list[tuple[TableCatalog, Layout]]:
    """Which layout each table of `catalogs` should write; all of them have a key."""
    layouts, used = dialect.layouts(connection), dialect.highest_layout(connection)
    tables: list[tuple[TableCatalog, Layout]] = []
    for use in system.tables:
        if use.table not in catalogs:
            continue
        catalog = catalogs[use.table]
        layout = layout_for(use.table, catalog, catalog.identity(use.key), layouts, used)
        if layout not in layouts:
            layouts = [*layouts, layout]
        tables.append((catalog, layout))
    return tables


def widest(tables: Sequence[tuple[TableCatalog, Layout]]) -> int:
    """Columns of the widest row."""
    return max((len(layout.columns) for _, layout in tables), default=1)


def ledger_sql(connection: Connection) -> list[str]:
    """What makes the ledger, if it isn't there."""
    return [] if ledger.exists(connection) else [ledger.create_sql(connection.dialect)]


def needed_statements(connection: Connection, system: System, dialect: JournalDialect) -> list[str]:
    """The statements that set-up still has to run; empty when all is in place.

    A table that is missing or has no key is left out. Raises ConfigurationError with the reasons
    where such tables are all that keeps the set-up from being complete.
    """
    catalogs: dict[str, TableCatalog] = {}
    problems: list[str] = []
    for use in system.tables:
        try:
            catalog = read_table(connection, use.table, use.key)
        except ConfigurationError as error:
            problems.append(str(error))
            continue
        if catalog.identity(use.key):
            catalogs[use.table] = catalog
        else:
            problems.append(no_key(use.table))
    tables = layouts_for(connection, system, dialect, catalogs)
    statements = dialect.create(connection, widest(tables))
    for _, layout in tables:
        statements += dialect.create_for(connection, layout)
    statements += ledger_sql(connection)
    if problems and not (statements and catalogs):
        raise ConfigurationError("; ".join(problems))
    return statements


def find_problems(connection: Connection, system: System, dialect: JournalDialect) -> list[Finding]:
    """Everything that is missing or dangerous, table by table."""
    problems: list[Finding] = []
    catalogs: dict[str, TableCatalog] = {}
    for use in system.tables:
        try:
            catalog = read_table(connection, use.table, use.key)
        except ConfigurationError as error:
            problems.append(Finding(str(error)))
            continue
        weak = _weak_key(catalog, use.key)
        if weak is not None:
            problems.append(weak)
        if catalog.identity(use.key):
            catalogs[use.table] = catalog
    problems += dialect.warnings(connection, list(catalogs.values()))
    tables = layouts_for(connection, system, dialect, catalogs)
    base = dialect.create(connection, widest(tables))
    if base:
        problems.append(
            Finding("the journal's tables are not complete", _script(base), create=True)
        )
    for catalog, layout in tables:
        statements = dialect.create_for(connection, layout)
        if statements:
            why = (
                "are of an earlier version, are incomplete, are older than a column, an index or a "
                "trigger of the table, or are not the newest triggers of the table"
                if any(statement.startswith("DROP TRIGGER") for statement in statements)
                else "are missing"
            )
            what = f"the journal triggers of table {catalog.table!r} {why}"
            problems.append(Finding(what, _script(statements), create=True))
    for statement in ledger_sql(connection):
        what = (
            f"the command ledger {ledger.LEDGER_TABLE!r} is missing: no command can be carried out"
        )
        problems.append(Finding(what, statement, create=True))
    return problems


def _script(statements: Sequence[str]) -> str:
    return ";\n".join(statements)


def _weak_key(catalog: TableCatalog, declared: Sequence[str]) -> Finding | None:
    """Why the columns that should identify rows don't."""
    if not catalog.identity(declared):
        return Finding(no_key(catalog.table))
    names = {column.name for column in catalog.columns}
    unknown = [name for name in declared if name not in names]
    if unknown:
        return Finding(
            f"table {catalog.table!r} has no column {', '.join(map(repr, unknown))}, which its "
            f"key names (it has {', '.join(sorted(names))})"
        )
    if declared and not any(group <= set(declared) for group in catalog.uniques):
        columns = ", ".join(declared)
        return Finding(
            f"nothing keeps the key ({columns}) of table {catalog.table!r} unique: two rows of "
            "the same key would overwrite each other in the log",
            f"CREATE UNIQUE INDEX bridge_key_{catalog.table} ON {catalog.table} ({columns})",
        )
    return None
