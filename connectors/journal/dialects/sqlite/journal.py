"""The journal on SQLite.

All values are in columns without a declared type, which SQLite stores exactly as they are: old
values first, then new ones, `v0`, `v1` ...; the layout says which is which. SQLite has one
writer, so the journal's numbers are in commit order and late commits don't exist.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from sys import getsizeof
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bridge.connector import CREATE, Finding, System
from bridge.model.errors import HistoryLost
from connectors.journal.dialects.contract import (
    JournalEntry,
    JournalPosition,
    JournalState,
    PurgeResult,
    TableProblem,
)
from connectors.journal.dialects.sqlite.ambiguous_keys import ambiguous_key, untyped_keys
from connectors.journal.dialects.sqlite.commit_watch import SqliteCommitWatch
from connectors.journal.dialects.sqlite.schema import (
    create_statements,
    find_schema_problems,
    table_statements,
)
from connectors.journal.dialects.sqlite.tables import (
    JOURNALED_SQLITE,
    LAST_NUMBER,
    LAYOUT_TABLE,
    NAMES,
    STATE_TABLE,
)
from connectors.journal.dialects.sqlite.trigger_presence import (
    find_unjournaled,
    present_triggers,
)
from connectors.journal.dialects.sqlite.trigger_text import NOW
from connectors.journal.layout import Layout, layout_from
from connectors.sql.schema.tables import TableCatalog

FIRST_SLOT_COLUMN = 5
"""Columns of the journal before its value slots."""
MAX_READ_BYTES = 8 << 20
"""About so much is read at once, whatever `limit` says: memory is bounded by it."""
ROWS_PER_FETCH = 25
"""Rows between two checks of how much was read."""


class SqliteJournal:
    """`connectors.journal.dialects.contract.JournalDialect` for SQLite 3.35 or later."""

    sql = JOURNALED_SQLITE
    restart_statement = f"UPDATE {STATE_TABLE} SET confirmed = NULL"

    def exists(self, connection: Connection) -> bool:
        """Whether the journal's tables and its state exist."""
        present = self._tables(connection)
        return {NAMES.journal, NAMES.aside, STATE_TABLE, LAYOUT_TABLE} <= present and bool(
            connection.exec_driver_sql(f"SELECT count(*) FROM {STATE_TABLE}").scalar_one()
        )

    def _tables(self, connection: Connection) -> set[str]:
        return set(
            connection.exec_driver_sql(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).scalars()
        )

    def layouts(self, connection: Connection) -> list[Layout]:
        """Every layout ever used, oldest first; empty without a journal."""
        if not sa.inspect(connection).has_table(LAYOUT_TABLE):
            return []
        rows = connection.exec_driver_sql(
            f"SELECT id, tbl, columns FROM {LAYOUT_TABLE} ORDER BY id"
        )
        return [layout_from(*row) for row in rows]

    def highest_layout(self, connection: Connection) -> int:
        """The highest number of a layout in the journal's rows; 0 without any."""
        if NAMES.journal not in self._tables(connection):
            return 0
        query = f"SELECT COALESCE(max(layout), 0) FROM {NAMES.journal}"
        return int(connection.exec_driver_sql(query).scalar_one())

    def create(self, connection: Connection, width: int) -> list[str]:
        """As `JournalDialect.create`."""
        return create_statements(connection, width)

    def create_for(self, connection: Connection, layout: Layout) -> list[str]:
        """As `JournalDialect.create_for`."""
        return table_statements(connection, layout, self.layouts(connection))

    def warnings(self, connection: Connection, tables: Sequence[TableCatalog]) -> list[Finding]:
        """As `JournalDialect.warnings`."""
        return find_schema_problems(connection, tables)

    def state(self, connection: Connection) -> JournalState:
        """Where the journal stands."""
        row = connection.exec_driver_sql(f"SELECT *, {LAST_NUMBER} FROM {STATE_TABLE}").first()
        if row is None:
            return JournalState("", (0,), None)
        # A state of an earlier version has no owner.
        _, incarnation, confirmed, *owner, last = row
        return JournalState(
            incarnation,
            (last,),
            None if confirmed is None else (confirmed,),
            owner[0] if owner else None,
        )

    def watch(self, system: System) -> SqliteCommitWatch:
        """Notices commits."""
        return SqliteCommitWatch(system)

    def may_be_ambiguous(self, layout: Layout) -> bool:
        """Whether different keys of the table may be one key in the log."""
        return bool(untyped_keys(layout.columns))

    def ambiguous_key(self, connection: Connection, layout: Layout) -> str:
        """Why two rows of the table have one key in the log; empty when none do."""
        return ambiguous_key(connection, layout.table, layout.columns)

    def schema_token(self, connection: Connection) -> Hashable:
        """https://www.sqlite.org/pragma.html#pragma_schema_version, and of which file."""
        version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
        return connection.info["file"], version

    def entry(self, connection: Connection, position: JournalPosition) -> JournalEntry | None:
        """The row there; None when there is none."""
        entries = self.entries(connection, (position[0] - 1,), 1)
        return entries[0] if entries and entries[0].position == position else None

    def find_problems(
        self, connection: Connection, tables: Sequence[str], layouts: Sequence[Layout]
    ) -> dict[str, TableProblem]:
        """Which of these tables are gone, or have no longer all of their triggers."""
        return find_unjournaled(
            tables, layouts, self._tables(connection), present_triggers(connection)
        )

    def entries(
        self, connection: Connection, after: JournalPosition, limit: int
    ) -> list[JournalEntry]:
        """Up to `limit` rows whose position is greater than `after`, in commit order; fewer where they are wide."""
        result = connection.exec_driver_sql(
            f"SELECT * FROM {NAMES.journal} WHERE seq > ? ORDER BY seq LIMIT ?", (after[0], limit)
        )
        entries: list[JournalEntry] = []
        size = 0
        while size < MAX_READ_BYTES and (rows := result.fetchmany(ROWS_PER_FETCH)):
            entries += [
                JournalEntry((row[0],), row[1], row[2], row[3], row[4], row[FIRST_SLOT_COLUMN:])
                for row in rows
            ]
            # Rows of one table are alike: measuring each would cost as much as reading it.
            sizes = [sum(map(getsizeof, row)) for row in (rows[0], rows[-1])]
            size += len(rows) * sum(sizes) // len(sizes)
        result.close()
        return entries

    def prepare_writes(self, engine: Engine) -> None:
        """In WAL mode a commit that isn't synced holds the lock for a hundredth of the time, and
        the database stays whole (https://www.sqlite.org/pragma.html#pragma_synchronous). Watermarks
        are synced nevertheless: the log may continue from there.
        """

        def relax(connection: Any, _record: object) -> None:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                connection.execute("PRAGMA synchronous = NORMAL")

        sa.event.listen(engine, "connect", relax)

    def confirm(
        self, connection: Connection, upto: JournalPosition, limit: int, owner: str
    ) -> PurgeResult:
        """Forget up to `limit` rows before `upto` in one short transaction."""
        with connection.begin():
            begun = time.monotonic()
            state = connection.exec_driver_sql(f"SELECT * FROM {STATE_TABLE}").mappings().first()
            if state is None:
                raise HistoryLost(
                    f"table {STATE_TABLE!r} is empty: the journal has no name any more"
                )
            journal_owner = state.get("owner")
            if (
                state["confirmed"] is not None
                and journal_owner is not None
                and journal_owner != owner
            ):
                raise HistoryLost("the journal is acknowledged by a bridge with another log")
            gone = connection.exec_driver_sql(
                f"DELETE FROM {NAMES.journal} WHERE seq IN (SELECT seq FROM {NAMES.journal} "
                "WHERE seq < ? ORDER BY seq LIMIT ?)",
                (upto[0], limit),
            ).rowcount
            left = connection.exec_driver_sql(
                f"SELECT min(seq) FROM {NAMES.journal} WHERE seq < ?", (upto[0],)
            ).scalar()
            reached = upto[0] if left is None else left - 1
            names = ", owner = ?" if "owner" in state else ""
            connection.exec_driver_sql(
                f"UPDATE {STATE_TABLE} SET confirmed = max(COALESCE(confirmed, 0), ?){names}",
                (reached, owner) if names else (reached,),
            )
        return PurgeResult(gone < limit or left is None, time.monotonic() - begun)

    def watermark(self, connection: Connection, name: str) -> None:
        """Write a watermark in a short transaction."""
        driver: Any = connection.connection.driver_connection
        [level] = driver.execute("PRAGMA synchronous").fetchone()
        driver.execute("PRAGMA synchronous = FULL")
        try:
            with connection.begin():
                connection.exec_driver_sql(
                    f"INSERT INTO {NAMES.journal} (layout, op, made_at, command) "
                    f"VALUES (0, {CREATE}, {NOW}, ?)",
                    (name,),
                )
        finally:
            driver.execute(f"PRAGMA synchronous = {level}")
