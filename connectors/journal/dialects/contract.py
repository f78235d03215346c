"""The port of a journal: one folder per dialect implements it.

**Commit order.** `entries` returns rows in commit order and only such after which no earlier row can
still appear. SQLite has one writer, so the journal's own numbers are in commit order. Where
transactions commit side by side, a row's number is given before its commit, and reading up to
the highest number would lose the late ones: such a dialect writes its transaction's id into
each row and lets `entries` return only rows of transactions below the oldest one still running
(PostgreSQL: `pg_snapshot_xmin(pg_current_snapshot())`), ordered by (transaction, number), or
drains committed rows into a second, dense number under a lock. Either way a `JournalPosition` is a tuple of
integers that grows in the order of `entries`.

**Values** are returned as the driver returns them for the table itself, so that a change, a snapshot
row and a read of the same state are equal.

All functions are called from one thread at a time per connection.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy.engine import Connection, Engine

from bridge.connector import Finding, System
from connectors.journal.layout import Layout
from connectors.sql.dialect import SqlDialect
from connectors.sql.schema.tables import TableCatalog

JournalPosition = tuple[int, ...]
"""A position in the journal's commit order; its first number is the commit position."""

WATERMARK = 0
"""`Entry.layout` of a watermark; its name is in `command`."""

TRIGGERS_RENEWED = 0
"""`Entry.op` of a row that set-up writes when it makes the triggers of a table that had some
before: earlier changes may be missing.
"""


class JournalEntry(NamedTuple):
    """One row of the journal.

    position: where it is in commit order.
    layout: the number of the layout that it was written with.
    made_at: microseconds since 1970 UTC.
    command: the id of the command that caused it; the name of a watermark.
    values: the old row's values and then the new one's, as far as `op` has them.
    """

    position: JournalPosition
    layout: int
    op: int
    made_at: int
    command: str | None
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class JournalState:
    """The journal's own state.

    incarnation: another one each time that the journal is created.
    position: the last one assigned.
    confirmed: the last one acknowledged; None: nothing ever was.
    owner: who acknowledged it; None: unknown, as in a journal of an earlier version.
    """

    incarnation: str
    position: JournalPosition
    confirmed: JournalPosition | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class TableProblem:
    """Why a table's changes are not journaled. `elsewhere`: its triggers journal another table's."""

    reason: str
    elsewhere: bool = False


class PurgeResult(NamedTuple):
    """What one transaction deleted: whether nothing is left to delete, and for how many seconds it
    held the lock for which the legacy program's writes wait.
    """

    complete: bool
    held_s: float


class CommitWatch(Protocol):
    """Shows cheaply, on the event loop, whether there may be something to read."""

    def token(self) -> Hashable | None:
        """A value that has changed when anybody committed since the last call, or put another
        database in its place; None when that is not known just now. Must not wait, neither for a
        lock nor for a network.
        """

    def close(self) -> None:
        """May be called twice."""


class JournalDialect(Protocol):
    """One database's journal."""

    @property
    def sql(self) -> SqlDialect:
        """Hooks for reads and writes on this database, with marker and visibility."""

    @property
    def restart_statement(self) -> str:
        """The statement after which a log without a checkpoint may start at this journal."""

    def exists(self, connection: Connection) -> bool:
        """Whether the journal's tables and its state exist."""

    def find_problems(
        self, connection: Connection, tables: Sequence[str], layouts: Sequence[Layout]
    ) -> dict[str, TableProblem]:
        """Which of these tables are gone, or have no longer all of their triggers. `layouts` are
        all that were ever used.
        """

    def layouts(self, connection: Connection) -> list[Layout]:
        """Every layout ever used, oldest first; empty without a journal."""

    def highest_layout(self, connection: Connection) -> int:
        """The highest number of a layout in the journal's rows; 0 without any."""

    def create(self, connection: Connection, width: int) -> list[str]:
        """Statements that are still needed for a journal of rows of `width` columns."""

    def create_for(self, connection: Connection, layout: Layout) -> list[str]:
        """Statements that are still needed for one table: its layout and its triggers."""

    def warnings(self, connection: Connection, tables: Sequence[TableCatalog]) -> list[Finding]:
        """What is dangerous about these tables or this database, beyond what `create` fixes."""

    def state(self, connection: Connection) -> JournalState:
        """Where the journal stands."""

    def watch(self, system: System) -> CommitWatch:
        """Notices commits; opens what it needs at the first call."""

    def may_be_ambiguous(self, layout: Layout) -> bool:
        """Whether different keys of the table may be one key in the log."""

    def ambiguous_key(self, connection: Connection, layout: Layout) -> str:
        """Why two rows of the table have one key in the log; empty when none do."""

    def schema_token(self, connection: Connection) -> Hashable:
        """A value that changes when a table was altered; cheap."""

    def entry(self, connection: Connection, mark: JournalPosition) -> JournalEntry | None:
        """The row there; None when there is none."""

    def entries(
        self, connection: Connection, after: JournalPosition, limit: int
    ) -> list[JournalEntry]:
        """Return up to `limit` rows whose position is greater than `after`, in commit order; fewer where
        they are wide, and none only where none are left.
        """

    def prepare_writes(self, engine: Engine) -> None:
        """Let connections that only acknowledge and mark hold the lock as short as can be: what was
        acknowledged may be forgotten when the power fails, a watermark may not.
        """

    def confirm(
        self, connection: Connection, upto: JournalPosition, limit: int, owner: str
    ) -> PurgeResult:
        """Delete up to `limit` rows before `upto` in one short transaction. The row at `upto` stays: it
        shows whether this is still the same history.

        Raises HistoryLost when another `owner` acknowledges.
        """

    def watermark(self, connection: Connection, name: str) -> None:
        """Write a watermark in a short transaction."""
