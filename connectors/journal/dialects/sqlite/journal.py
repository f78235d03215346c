"""The journal on SQLite.

All values stand in columns without a declared type, which SQLite stores exactly as they are: old
values first, then new ones, `v0`, `v1` ...; the layout tells which is which. SQLite has one
writer, so the journal's numbers are in commit order and late commits don't exist.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from sys import getsizeof
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bridge.connector import CREATE, Finding, System
from bridge.model.errors import HistoryLost, RetryLater
from connectors.journal.dialects.contract import (
    TRIGGERS_RENEWED,
    JournalEntry,
    JournalPosition,
    JournalState,
    PurgeResult,
    TableProblem,
)
from connectors.journal.dialects.sqlite.ambiguous_keys import ambiguous_key, untyped_keys
from connectors.journal.dialects.sqlite.trigger_presence import (
    PresentTrigger,
    find_problems,
    present_triggers,
    select_triggers,
)
from connectors.journal.dialects.sqlite.triggers import NOW, JournalTables, Trigger, make_triggers
from connectors.journal.dialects.sqlite.unique_columns import table_rules
from connectors.journal.layout import Layout, layout_from
from connectors.sql.dialect import Marker, SqlDialect, VisibilityQuery
from connectors.sql.engine import parse_url
from connectors.sql.schema.tables import TableCatalog
from connectors.sql.sqlite.connection import connect_sqlite, file_identity, sqlite_path
from connectors.sql.sqlite.dialect import SQLITE

NAMES = JournalTables()
STATE_TABLE = "bridge_journal_state"
LAYOUT_TABLE = "bridge_journal_layout"
HEAD = "seq INTEGER PRIMARY KEY AUTOINCREMENT, layout INTEGER NOT NULL, op INTEGER NOT NULL, "
LAST = (
    f"max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{NAMES.journal}'), 0), "
    f"COALESCE((SELECT max(seq) FROM {NAMES.journal}), 0))"
)
"""The last number given out. SQLite writes its own record of it at the end of a statement, so that
one that failed with OR FAIL leaves rows behind that are in none. The journal's last row is never
deleted, so that no number is given out twice.
"""
SLOTS_AT = 5
"""Columns of the journal before its value slots."""
MAX_READ_BYTES = 8 << 20
"""About so much is read at once, whatever `limit` says: memory is bounded by it."""
AT_ONCE = 25
"""Rows between two looks at how much was read."""
MAX_SLOTS = 1900
"""SQLite allows 2,000 columns."""


@dataclass(frozen=True, slots=True)
class VisibleUpTo:
    """A read that has seen every change up to a place in the journal."""

    commit: int

    def contains(self, transaction: int) -> bool:
        """Whether the change of that number was visible."""
        return transaction <= self.commit

    def unseen(self) -> tuple[int, ...]:
        """None: what the journal tells is committed, and so shown."""
        return ()


COMMAND = (
    f"CREATE TABLE IF NOT EXISTS {NAMES.command} "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)"
)
SQL: SqlDialect = replace(
    SQLITE,
    marker=Marker(
        write=f"INSERT OR REPLACE INTO {NAMES.command} (one, id) VALUES (1, :id)",
        clear=f"DELETE FROM {NAMES.command}",
        table=NAMES.command,
        create=COMMAND,
    ),
    seen=VisibilityQuery(LAST, lambda value: VisibleUpTo(int(value))),
    position=LAST,
)


class SqliteCommitWatch:
    """https://www.sqlite.org/pragma.html#pragma_data_version: some microseconds a look."""

    def __init__(self, system: System) -> None:
        self._path = sqlite_path(system, parse_url(system))
        self._file: tuple[int, int] | None = None
        self._db: sqlite3.Connection | None = None

    def token(self) -> Hashable | None:
        """As `Watch.token`; None while a writer holds the lock of a rollback journal."""
        try:
            file = file_identity(self._path)
            if file != self._file:
                self.close()
            if self._db is None:
                self._db = connect_sqlite(self._path, 0)()
                self._file = file
            return file, self._db.execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.OperationalError, RetryLater):
            # Busy, or something that the next read will name.
            return None

    def close(self) -> None:
        """As `Watch.close`."""
        if self._db is not None:
            self._db.close()
            self._db = None


class SqliteJournal:
    """`connectors.journal.dialects.contract.JournalDialect` for SQLite 3.35 or later."""

    sql = SQL
    begin_anew = f"UPDATE {STATE_TABLE} SET confirmed = NULL"

    def is_there(self, connection: Connection) -> bool:
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
        """Statements that are still needed for a journal of rows of `width` columns."""
        present = set(sa.inspect(connection).get_table_names())
        needed = [
            *self._slots(connection, NAMES.journal, 2 * width, present),
            *self._slots(connection, NAMES.aside, width, present),
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
            needed += self._state_lacks(connection)
        if NAMES.command not in present:
            needed.append(COMMAND)
        return needed

    def _state_lacks(self, connection: Connection) -> list[str]:
        lacking = []
        if "owner" not in {
            item["name"] for item in sa.inspect(connection).get_columns(STATE_TABLE)
        }:
            lacking.append(f"ALTER TABLE {STATE_TABLE} ADD COLUMN owner TEXT")
        if not connection.exec_driver_sql(f"SELECT count(*) FROM {STATE_TABLE}").scalar_one():
            lacking.append(
                f"INSERT INTO {STATE_TABLE} (one, incarnation) VALUES (1, lower(hex(randomblob(8))))"
            )
        return lacking

    def create_for(self, connection: Connection, layout: Layout) -> list[str]:
        """Statements that are still needed for one table: its layout and its triggers."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        known = self.layouts(connection)
        rules = table_rules(connection, layout.table)
        wanted = make_triggers(NAMES, layout, rules, quote)
        present = select_triggers(layout.table, known, present_triggers(connection))
        needed = []
        if layout not in known:
            table, columns = layout.table.replace("'", "''"), layout.text().replace("'", "''")
            needed.append(
                f"INSERT INTO {LAYOUT_TABLE} VALUES ({layout.id}, '{table}', '{columns}')"
            )
        if not _in_place(connection, layout.table, wanted, present):
            needed += [f"DROP TRIGGER {quote(trigger.name)}" for trigger in present]
            needed += [trigger.sql for trigger in wanted]
            earlier = [each for each in known if each.table == layout.table]
            have = {trigger.name: trigger.sql for trigger in present}
            whole = any(
                have.items()
                >= {(each.name, each.sql) for each in make_triggers(NAMES, old, rules, quote)}
                for old in earlier
            )
            if earlier and not whole:
                # Some were gone, or told less than these: changes in front may be missing.
                needed.append(
                    f"INSERT INTO {NAMES.journal} (layout, op, made_at, command) "
                    f"VALUES ({layout.id}, {TRIGGERS_RENEWED}, {NOW}, 'triggers made')"
                )
            if earlier:
                needed.append(f"DELETE FROM {NAMES.aside}")
        return needed

    def _slots(
        self, connection: Connection, table: str, width: int, present: set[str]
    ) -> list[str]:
        if table not in present:
            head = "layout INTEGER NOT NULL, "
            if table == NAMES.journal:
                head = HEAD + "made_at INTEGER NOT NULL, command TEXT, "
            slots = ", ".join(f"v{at}" for at in range(width))
            return [f"CREATE TABLE {table} ({head}{slots})"]
        have = {item["name"] for item in sa.inspect(connection).get_columns(table)}
        lacking = [f"v{at}" for at in range(width) if f"v{at}" not in have]
        return [f"ALTER TABLE {table} ADD COLUMN {name}" for name in lacking]

    def warnings(self, connection: Connection, tables: Sequence[TableCatalog]) -> list[Finding]:
        """What is dangerous about these tables or this database, beyond what `create` mends."""
        found: list[Finding] = []
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        if mode != "wal":
            found.append(
                Finding(
                    f"the database is in {mode} mode, in which readers and writers block each "
                    "other: the legacy program's writes wait for the bridge's reads",
                    "PRAGMA journal_mode = WAL",
                    fatal=False,
                )
            )
        kinds = {
            name: "virtual table" if (sql or "").upper().startswith("CREATE VIRTUAL") else kind
            for name, kind, sql in connection.exec_driver_sql(
                "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view')"
            )
        }
        for catalogue in tables:
            kind = kinds.get(catalogue.table, "table")
            if kind != "table":
                found.append(
                    Finding(f"{catalogue.table!r} is a {kind}, which can have no journal triggers")
                )
            if 2 * len(catalogue.columns) > MAX_SLOTS:
                found.append(
                    Finding(
                        f"table {catalogue.table!r} has {len(catalogue.columns)} columns; the "
                        f"journal holds at most {MAX_SLOTS // 2}"
                    )
                )
            found += _expressions(connection, catalogue.table)
            if why := ambiguous_key(connection, catalogue.table, catalogue.columns):
                found.append(Finding(why))
        return found

    def state(self, connection: Connection) -> JournalState:
        """Where the journal stands."""
        row = connection.exec_driver_sql(f"SELECT *, {LAST} FROM {STATE_TABLE}").first()
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
        """A look-out for commits."""
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

    def entry(self, connection: Connection, mark: JournalPosition) -> JournalEntry | None:
        """The row there; None when there is none."""
        entries = self.entries(connection, (mark[0] - 1,), 1)
        return entries[0] if entries and entries[0].mark == mark else None

    def troubles(
        self, connection: Connection, tables: Sequence[str], layouts: Sequence[Layout]
    ) -> dict[str, TableProblem]:
        """Which of these tables are gone, or have no longer all of their triggers."""
        return find_problems(
            tables, layouts, self._tables(connection), present_triggers(connection)
        )

    def entries(
        self, connection: Connection, after: JournalPosition, limit: int
    ) -> list[JournalEntry]:
        """Up to `limit` rows behind `after`, in commit order; fewer where they are wide."""
        result = connection.exec_driver_sql(
            f"SELECT * FROM {NAMES.journal} WHERE seq > ? ORDER BY seq LIMIT ?", (after[0], limit)
        )
        found: list[JournalEntry] = []
        size = 0
        while size < MAX_READ_BYTES and (rows := result.fetchmany(AT_ONCE)):
            found += [
                JournalEntry((row[0],), row[1], row[2], row[3], row[4], row[SLOTS_AT:])
                for row in rows
            ]
            # Rows of one table are alike: measuring each would cost as much as reading it.
            sizes = [sum(map(getsizeof, row)) for row in (rows[0], rows[-1])]
            size += len(rows) * sum(sizes) // len(sizes)
        result.close()
        return found

    def prepare_writes(self, engine: Engine) -> None:
        """In WAL mode a commit that isn't synced holds the lock for a hundredth of the time, and
        the database stays whole (https://www.sqlite.org/pragma.html#pragma_synchronous). Watermarks
        are synced all the same: the log may go on from there.
        """

        def relax(connection: Any, _record: object) -> None:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                connection.execute("PRAGMA synchronous = NORMAL")

        sa.event.listen(engine, "connect", relax)

    def confirm(
        self, connection: Connection, upto: JournalPosition, limit: int, owner: str
    ) -> PurgeResult:
        """Forget up to `limit` rows in front of `upto` in one short transaction."""
        with connection.begin():
            begun = time.monotonic()
            state = connection.exec_driver_sql(f"SELECT * FROM {STATE_TABLE}").mappings().first()
            if state is None:
                raise HistoryLost(
                    f"table {STATE_TABLE!r} is empty: the journal has no name any more"
                )
            known = state.get("owner")
            if state["confirmed"] is not None and known is not None and known != owner:
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


def _expressions(connection: Connection, table: str) -> list[Finding]:
    """Unique indexes over expressions: what REPLACE pushes out through them can't be asked for."""
    names = connection.exec_driver_sql(
        "SELECT DISTINCT l.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i "
        'WHERE l."unique" AND i.cid < 0',
        (table,),
    ).scalars()
    return [
        Finding(
            f"index {name!r} of table {table!r} is unique over an expression: rows that INSERT OR "
            "REPLACE pushes out through it are not told (a snapshot with --reconcile finds them)",
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
