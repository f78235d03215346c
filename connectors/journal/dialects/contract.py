"""What a database must offer for a journal: one file a dialect implements this.

**Commit order.** `entries` returns rows in commit order and only such behind which no row can
still appear. SQLite has one writer, so the journal's own numbers are in commit order. Where
transactions commit side by side, a row's number is given before its commit, and reading up to
the highest number would lose the late ones: such a dialect writes its transaction's id into
each row and lets `entries` return only rows of transactions below the oldest one still running
(PostgreSQL: `pg_snapshot_xmin(pg_current_snapshot())`), ordered by (transaction, number), or
drains committed rows into a second, dense number under a lock. Either way a `Mark` is a tuple of
integers that grows in the order of `entries`.

**Values** come back as the driver gives them for the table itself, so that a change, a snapshot
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
"""A place in the journal's commit order; its first number is the commit position."""

WATERMARK = 0
"""`Entry.layout` of a watermark; its name stands in `command`."""

TRIGGERS_RENEWED = 0
"""`Entry.op` of a row that set-up writes when it makes the triggers of a table that had some
before: changes in front of it may be missing.
"""


class JournalEntry(NamedTuple):
    """One row of the journal. `values` holds the old row's values and then the new one's, as far
    as `op` has them; `width` numbers each.
    """

    mark: JournalPosition
    layout: int
    op: int
    made_at: int
    command: str | None
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class JournalState:
    """The journal's own state. `incarnation` is new each time that it is made; `position` the
    last place given out, `confirmed` the last one acknowledged (None: nothing ever was), `owner`
    who acknowledged it (None: unknown, as in a journal of an earlier version).
    """

    incarnation: str
    position: JournalPosition
    confirmed: JournalPosition | None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class TableProblem:
    """Why a table's changes are not journaled. `elsewhere`: its triggers tell another table's."""

    why: str
    elsewhere: bool = False


class PurgeResult(NamedTuple):
    """What one transaction forgot: whether nothing is left to forget, and for how many seconds it
    held the lock for which the legacy program's writes wait.
    """

    complete: bool
    held_s: float


class CommitWatch(Protocol):
    """Tells cheaply, on the event loop, whether there may be something to read."""

    def token(self) -> Hashable | None:
        """A value that has changed when anybody committed since the last look, or put another
        database in its place; None when it can't be told just now. Must not wait, neither for a
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
    def begin_anew(self) -> str:
        """The statement after which a log without a checkpoint may begin at this journal."""

    def is_there(self, connection: Connection) -> bool:
        """Whether the journal's tables and its state exist."""

    def troubles(
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
        """What is dangerous about these tables or this database, beyond what `create` mends."""

    def state(self, connection: Connection) -> JournalState:
        """Where the journal stands."""

    def watch(self, system: System) -> CommitWatch:
        """A look-out for commits; opens what it needs at the first look."""

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
        """Up to `limit` rows behind `after`, in commit order; fewer where they are wide, and none
        only where none are left.
        """

    def prepare_writes(self, engine: Engine) -> None:
        """Let connections that only acknowledge and mark hold the lock as short as can be: what was
        acknowledged may be forgotten when the power fails, a watermark may not.
        """

    def confirm(
        self, connection: Connection, upto: JournalPosition, limit: int, owner: str
    ) -> PurgeResult:
        """Forget up to `limit` rows in front of `upto` in one short transaction. The row at `upto`
        stays: it tells whether this is still the same history.

        Raises HistoryLost when another `owner` acknowledges.
        """

    def watermark(self, connection: Connection, name: str) -> None:
        """Write a watermark in a short transaction."""
