"""Which of the journal's triggers are in a SQLite database, and on which tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection

from connectors.journal.dialects.contract import TableProblem
from connectors.journal.layout import Layout

TRIGGER_EVENTS = ("BEFORE INSERT", "AFTER INSERT", "BEFORE UPDATE", "AFTER UPDATE", "AFTER DELETE")
"""What the triggers of a table that is journaled fire at, in the order of their bodies."""

_EVENT = re.compile(r"\s(BEFORE|AFTER)\s(INSERT|UPDATE|DELETE)\sON\s")
_LAYOUT = re.compile(r"\blayout = (\d+)\b")


class PresentTrigger(NamedTuple):
    """One of the journal's triggers: the layout that it writes, and the table that it is on."""

    rowid: int
    name: str
    table: str
    event: str
    layout: int
    sql: str


def present_triggers(connection: Connection) -> list[PresentTrigger]:
    """All of them, whatever they are called and wherever a renamed table has taken them."""
    rows = connection.exec_driver_sql(
        "SELECT rowid, name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' "
        "AND name LIKE 'bridge\\_journal\\_%' ESCAPE '\\'"
    )
    present = []
    for rowid, name, table, sql in rows:
        event, layout = _EVENT.search(sql), _LAYOUT.search(sql)
        if event is not None and layout is not None:
            present.append(
                PresentTrigger(rowid, name, table, " ".join(event.groups()), int(layout[1]), sql)
            )
    return present


def select_triggers(
    table: str, layouts: Sequence[Layout], present: Sequence[PresentTrigger]
) -> list[PresentTrigger]:
    """Those on a table, and those that write its layouts though they are on another one."""
    mine = {layout.id for layout in layouts if layout.table.lower() == table.lower()}
    return [
        trigger
        for trigger in present
        if trigger.table.lower() == table.lower() or trigger.layout in mine
    ]


def find_unjournaled(
    tables: Sequence[str],
    layouts: Sequence[Layout],
    existing: Collection[str],
    present: Sequence[PresentTrigger],
) -> dict[str, TableProblem]:
    """Why each of `tables` is not journaled, as far as that is so. Pure; names as in SQLite."""
    writes = {layout.id: layout.table.lower() for layout in layouts}
    existing_names = {name.lower() for name in existing}
    problems: dict[str, TableProblem] = {}
    for table in tables:
        name = table.lower()
        ours = [trigger for trigger in present if writes.get(trigger.layout) == name]
        elsewhere = sorted({each.table for each in ours if each.table.lower() != name})
        events = {trigger.event for trigger in ours if trigger.table.lower() == name}
        if name in existing_names and not elsewhere and events >= set(TRIGGER_EVENTS):
            continue
        what = f"table {table!r} " + (
            f"was renamed to {elsewhere[0]!r}"
            if elsewhere
            else "has lost its journal triggers, as when a migration creates it again"
            if name in existing_names
            else "is no longer in the database"
        )
        problems[table] = TableProblem(
            f"{what}: its changes are not captured until `bridgectl setup` has made the triggers "
            "again; then it is compared with the log by itself",
            elsewhere=bool(elsewhere),
        )
    return problems
