"""What a journal on SQLite needs in the legacy database: its tables, its triggers, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.connector import Finding
from connectors.journal.dialects.contract import TRIGGERS_RENEWED
from connectors.journal.dialects.sqlite.ambiguous_keys import ambiguous_key
from connectors.journal.dialects.sqlite.tables import (
    CREATE_COMMAND_TABLE,
    LAYOUT_TABLE,
    NAMES,
    STATE_TABLE,
)
from connectors.journal.dialects.sqlite.trigger_presence import (
    PresentTrigger,
    present_triggers,
    select_triggers,
)
from connectors.journal.dialects.sqlite.trigger_text import NOW
from connectors.journal.dialects.sqlite.triggers import Trigger, make_triggers
from connectors.journal.dialects.sqlite.unique_columns import table_rules
from connectors.journal.layout import Layout
from connectors.sql.schema.tables import TableCatalog

JOURNAL_COLUMNS = (
    "seq INTEGER PRIMARY KEY AUTOINCREMENT, layout INTEGER NOT NULL, op INTEGER NOT NULL, "
)
MAX_SLOTS = 1900
"""SQLite allows 2,000 columns."""


def create_statements(connection: Connection, width: int) -> list[str]:
    """Statements that are still needed for a journal of rows of `width` columns."""
    present = set(sa.inspect(connection).get_table_names())
    needed = [
        *_slot_statements(connection, NAMES.journal, 2 * width, present),
        *_slot_statements(connection, NAMES.aside, width, present),
    ]
    if LAYOUT_TABLE not in present:
        columns = "id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, columns TEXT NOT NULL"
        needed.append(f"CREATE TABLE {LAYOUT_TABLE} ({columns})")
    if STATE_TABLE not in present:
        columns = "one INTEGER PRIMARY KEY CHECK (one = 1), incarnation TEXT NOT NULL"
        needed += [
            f"CREATE TABLE {STATE_TABLE} ({columns}, confirmed INTEGER, owner TEXT)",
            f"INSERT INTO {STATE_TABLE} (one, incarnation) VALUES (1, lower(hex(randomblob(8))))",
        ]
    else:
        needed += _state_statements(connection)
    if NAMES.command not in present:
        needed.append(CREATE_COMMAND_TABLE)
    return needed


def _state_statements(connection: Connection) -> list[str]:
    missing = []
    if "owner" not in {item["name"] for item in sa.inspect(connection).get_columns(STATE_TABLE)}:
        missing.append(f"ALTER TABLE {STATE_TABLE} ADD COLUMN owner TEXT")
    if not connection.exec_driver_sql(f"SELECT count(*) FROM {STATE_TABLE}").scalar_one():
        missing.append(
            f"INSERT INTO {STATE_TABLE} (one, incarnation) VALUES (1, lower(hex(randomblob(8))))"
        )
    return missing


def table_statements(
    connection: Connection, layout: Layout, layouts: Sequence[Layout]
) -> list[str]:
    """Statements that are still needed for one table: its layout and its triggers."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    rules = table_rules(connection, layout.table)
    wanted = make_triggers(NAMES, layout, rules, quote)
    present = select_triggers(layout.table, layouts, present_triggers(connection))
    needed = []
    if layout not in layouts:
        table, columns = layout.table.replace("'", "''"), layout.text().replace("'", "''")
        needed.append(f"INSERT INTO {LAYOUT_TABLE} VALUES ({layout.id}, '{table}', '{columns}')")
    if not _in_place(connection, layout.table, wanted, present):
        needed += [f"DROP TRIGGER {quote(trigger.name)}" for trigger in present]
        needed += [trigger.sql for trigger in wanted]
        earlier = [each for each in layouts if each.table == layout.table]
        have = {trigger.name: trigger.sql for trigger in present}
        whole = any(
            have.items()
            >= {(each.name, each.sql) for each in make_triggers(NAMES, old, rules, quote)}
            for old in earlier
        )
        if earlier and not whole:
            # Some were gone, or journaled less than these: earlier changes may be missing.
            needed.append(
                f"INSERT INTO {NAMES.journal} (layout, op, made_at, command) "
                f"VALUES ({layout.id}, {TRIGGERS_RENEWED}, {NOW}, 'triggers made')"
            )
        if earlier:
            needed.append(f"DELETE FROM {NAMES.aside}")
    return needed


def _slot_statements(
    connection: Connection, table: str, width: int, present: set[str]
) -> list[str]:
    if table not in present:
        head = "layout INTEGER NOT NULL, "
        if table == NAMES.journal:
            head = JOURNAL_COLUMNS + "made_at INTEGER NOT NULL, command TEXT, "
        slots = ", ".join(f"v{at}" for at in range(width))
        return [f"CREATE TABLE {table} ({head}{slots})"]
    present_columns = {item["name"] for item in sa.inspect(connection).get_columns(table)}
    missing = [f"v{at}" for at in range(width) if f"v{at}" not in present_columns]
    return [f"ALTER TABLE {table} ADD COLUMN {name}" for name in missing]


def find_schema_problems(connection: Connection, tables: Sequence[TableCatalog]) -> list[Finding]:
    """What is dangerous about these tables or this database, beyond what `create_statements` fixes."""
    problems: list[Finding] = []
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        problems.append(
            Finding(
                f"the database is in {mode} mode, in which readers and writers block each "
                "other: the legacy program's writes wait for the bridge's reads",
                "PRAGMA journal_mode = WAL",
                fatal=False,
            )
        )
    table_kinds = {
        name: "virtual table" if (sql or "").upper().startswith("CREATE VIRTUAL") else kind
        for name, kind, sql in connection.exec_driver_sql(
            "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view')"
        )
    }
    for catalogue in tables:
        kind = table_kinds.get(catalogue.table, "table")
        if kind != "table":
            problems.append(
                Finding(f"{catalogue.table!r} is a {kind}, which can have no journal triggers")
            )
        if 2 * len(catalogue.columns) > MAX_SLOTS:
            problems.append(
                Finding(
                    f"table {catalogue.table!r} has {len(catalogue.columns)} columns; the "
                    f"journal holds at most {MAX_SLOTS // 2}"
                )
            )
        problems += _expressions(connection, catalogue.table)
        if reason := ambiguous_key(connection, catalogue.table, catalogue.columns):
            problems.append(Finding(reason))
    return problems


def _expressions(connection: Connection, table: str) -> list[Finding]:
    """Unique indexes over expressions: what REPLACE pushes out through them can't be queried."""
    names = connection.exec_driver_sql(
        "SELECT DISTINCT l.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i "
        'WHERE l."unique" AND i.cid < 0',
        (table,),
    ).scalars()
    return [
        Finding(
            f"index {name!r} of table {table!r} is unique over an expression: rows that INSERT OR "
            "REPLACE pushes out through it are not journaled (a snapshot with --reconcile finds them)",
            fatal=False,
        )
        for name in names
    ]


def _in_place(
    connection: Connection,
    table: str,
    wanted: Sequence[Trigger],
    present: Sequence[PresentTrigger],
) -> bool:
    """Whether the triggers are as wanted, and newer than every other one of their table.

    SQLite runs the newest trigger first. An older one of ours would journal a change only after
    what another trigger did in answer to it, and the log would end with the wrong row.
    """
    if {(each.name, each.sql) for each in present} != {(each.name, each.sql) for each in wanted}:
        return False
    ours = {trigger.name for trigger in present}
    oldest = min(trigger.rowid for trigger in present)
    rows = connection.exec_driver_sql(
        "SELECT rowid, name FROM sqlite_schema WHERE type = 'trigger' "
        "AND lower(tbl_name) = lower(?)",
        (table,),
    )
    return all(row.rowid < oldest for row in rows if row.name not in ours)
