"""The journal's tables on SQLite, and what reads and writes of the database take from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.journal.dialects.sqlite.trigger_text import JournalTables
from connectors.sql.dialect import Marker, SqlDialect, VisibilityQuery
from connectors.sql.sqlite.dialect import SQLITE

NAMES = JournalTables()
STATE_TABLE = "bridge_journal_state"
LAYOUT_TABLE = "bridge_journal_layout"
LAST_NUMBER = (
    f"max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{NAMES.journal}'), 0), "
    f"COALESCE((SELECT max(seq) FROM {NAMES.journal}), 0))"
)
"""The last number given out. SQLite writes its own record of it at the end of a statement, so that
one that failed with OR FAIL leaves rows behind that are in none. The journal's last row is never
deleted, so that no number is given out twice.
"""


@dataclass(frozen=True, slots=True)
class VisibleUpTo:
    """A read that has seen every change up to a number of the journal."""

    commit: int

    def contains(self, transaction: int) -> bool:
        """Whether the change of that number was visible."""
        return transaction <= self.commit

    def unseen(self) -> tuple[int, ...]:
        """None: what the journal holds is committed, and so visible."""
        return ()


CREATE_COMMAND_TABLE = (
    f"CREATE TABLE IF NOT EXISTS {NAMES.command} "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)"
)
JOURNALED_SQLITE: SqlDialect = replace(
    SQLITE,
    marker=Marker(
        write=f"INSERT OR REPLACE INTO {NAMES.command} (one, id) VALUES (1, :id)",
        clear=f"DELETE FROM {NAMES.command}",
        table=NAMES.command,
        create=CREATE_COMMAND_TABLE,
    ),
    seen=VisibilityQuery(LAST_NUMBER, lambda value: VisibleUpTo(int(value))),
    position=LAST_NUMBER,
)
