"""The triggers of one table on SQLite, as text: pure.

SQLite deletes the rows that `INSERT OR REPLACE` and `UPDATE OR REPLACE` push out without firing
delete triggers (unless `recursive_triggers` is on in that connection), so nobody would hear of
them. Therefore a BEFORE trigger puts aside the rows that the new one may collide with, and the AFTER
trigger, which runs only when the new row really went in, journals those that are gone by then: as a
delete, or as the old half of an update where the key is the same. What a delete trigger journaled
is taken out of what was put aside. An ignored insert or an upsert fires no AFTER INSERT, so what
was put aside for it is left over.

Where nothing else runs between the two (`TableRules.nests` false) everything that was put aside is
of this row, and the next BEFORE trigger drops what is left over. Otherwise triggers of the legacy
program's and actions of foreign keys may run statements on the same table in between, and even take
away the row itself, so that no AFTER trigger fires for it. Then what is aside is kept equal to the
table, rows that go in meanwhile are put aside too, and whichever trigger comes next journals those
that are gone. Their keys are marked (under the layout's negative number) until a row has them again,
so that a delete trigger that fires after all says nothing twice. The newest `KEPT_ASIDE` are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.journal.dialects.sqlite.flat_triggers import FlatTriggers
from connectors.journal.dialects.sqlite.nesting_triggers import NestingTriggers
from connectors.journal.dialects.sqlite.trigger_presence import TRIGGER_EVENTS
from connectors.journal.dialects.sqlite.trigger_text import JournalTables
from connectors.journal.dialects.sqlite.unique_columns import TableRules
from connectors.journal.layout import Layout


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger and the statement that makes it."""

    name: str
    sql: str


def trigger_name(event: str, table: str) -> str:
    """Unlike those of earlier versions, no two tables have triggers of the same name."""
    return f"bridge_journal_{event.lower().replace(' ', '_')}_{table}"


def make_triggers(
    names: JournalTables, layout: Layout, rules: TableRules, quote: Callable[[str], str]
) -> list[Trigger]:
    """The triggers that journal one table."""
    text_class: type[NestingTriggers | FlatTriggers] = (
        NestingTriggers if rules.nests else FlatTriggers
    )
    text = text_class(names, layout, rules, quote)
    # Only a change of unique columns can push a row out.
    conditions = dict.fromkeys(TRIGGER_EVENTS, "") | {"BEFORE UPDATE": f"WHEN {text.collidable()} "}
    table = quote(layout.table)
    return [
        Trigger(
            trigger_name(event, layout.table),
            f"CREATE TRIGGER {quote(trigger_name(event, layout.table))} {event} ON {table} "
            f"FOR EACH ROW {conditions[event]}BEGIN {body} END",
        )
        for event, body in zip(TRIGGER_EVENTS, text.bodies(), strict=True)
    ]
