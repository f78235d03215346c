"""What of a SQLite table is unique, and so can push rows out by REPLACE."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from connectors.journal.dialects.sqlite.trigger_presence import present_triggers

ROWID_NAMES = ("rowid", "_rowid_", "oid")
"""https://www.sqlite.org/lang_createtable.html#rowid: the first that no column has."""


_FIRES_LATER = re.compile(
    r"CREATE\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r'(?:\w+|"[^"]*"|\[[^\]]*\]|`[^`]*`)\s+AFTER\s+(?:INSERT|UPDATE)\b',
    re.IGNORECASE,
)
"""A trigger that fires after ours, which are the newest; without a word for when it is BEFORE.
Those at DELETE fire in between for the rows that REPLACE pushes out.
"""


@dataclass(frozen=True, slots=True)
class UniqueGroup:
    """Columns that are unique together, each with the collation by which it is compared (empty:
    the column's own).
    """

    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> frozenset[str]:
        """The columns alone."""
        return frozenset(name for name, _ in self.columns)


@dataclass(frozen=True, slots=True)
class TableRules:
    """What decides which rows a new one pushes out, and what happens meanwhile.

    groups: unique sets of columns, in a fixed order, without those over expressions.
    rowid: a name of the row's number, where it is a key besides the columns (empty: it isn't).
    defaults: SQL of the default of each column that takes it instead of null under REPLACE.
    nests: whether statements on the table may run between a BEFORE and an AFTER trigger of ours:
    the legacy program has triggers that fire in between, or foreign keys with actions refer to it.
    """

    groups: tuple[UniqueGroup, ...]
    rowid: str
    defaults: Mapping[str, str]
    nests: bool


def table_rules(connection: Connection, table: str) -> TableRules:
    """The rules of a table as the catalogue says now."""
    columns = connection.exec_driver_sql(
        'SELECT name, "notnull", dflt_value FROM pragma_table_xinfo(?)', (table,)
    ).all()
    return TableRules(
        _groups(connection, table),
        _rowid(connection, table, [column.name.lower() for column in columns]),
        {
            column.name: column.dflt_value
            for column in columns
            if column.notnull and column.dflt_value is not None
        },
        _nests(connection, table),
    )


def _groups(connection: Connection, table: str) -> tuple[UniqueGroup, ...]:
    rows = connection.exec_driver_sql(
        "SELECT l.name AS of_index, x.cid, x.name, x.coll FROM pragma_index_list(?) l, "
        'pragma_index_xinfo(l.name) x WHERE l."unique" AND x.key ORDER BY l.name, x.seqno',
        (table,),
    ).all()
    indexes: dict[str, list[Any]] = {}
    for row in rows:
        indexes.setdefault(row.of_index, []).append(row)
    groups = {
        UniqueGroup(tuple((column.name, column.coll) for column in index))
        for index in indexes.values()
        if all(column.cid >= 0 for column in index)
    }
    return tuple(sorted(groups, key=lambda group: (len(group.columns), group.columns)))


def _rowid(connection: Connection, table: str, columns: Sequence[str]) -> str:
    name = next((name for name in ROWID_NAMES if name not in columns), "")
    if not name:
        return ""
    quoted = connection.dialect.identifier_preparer.quote_identifier(table)
    try:
        cursor = connection.exec_driver_sql(f"SELECT {name} FROM {quoted} LIMIT 0")
    except OperationalError:
        # WITHOUT ROWID: its primary key is all that it has.
        return ""
    # An INTEGER PRIMARY KEY is the row's number itself: then the column's name comes back.
    alias = cursor.keys()
    return name if next(iter(alias)).lower() == name else ""


def _nests(connection: Connection, table: str) -> bool:
    ours = {trigger.name for trigger in present_triggers(connection)}
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?)",
        (table,),
    ).all()
    if any(row.name not in ours and _FIRES_LATER.match(row.sql) is None for row in rows):
        return True
    actions = connection.exec_driver_sql(
        "SELECT f.on_update, f.on_delete FROM sqlite_schema s, pragma_foreign_key_list(s.name) f "
        "WHERE s.type = 'table' AND lower(f.\"table\") = lower(?)",
        (table,),
    ).all()
    return any({*action} - {"NO ACTION", "RESTRICT"} for action in actions)
