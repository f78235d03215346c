"""What a source yields: changes of tables, in their order, and where to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from bridge.model.types import FieldType
from bridge.plan.steps import Wire

Checkpoint = bytes
"""A source's resume state: opaque to everyone but its connector; at most 64 kB."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the source describes it.

    name: its name in the source.
    native: the source's own type name, for people (`numeric(15,2)`).
    type: the field type when nothing is declared.
    wire: the code of its bytes for the plan (`int4`, `numeric`, `python` ...).
    nullable: whether a row may have null in it.
    key: whether it is part of the primary key.
    captured: False where rows that are read have it and changes never do (a generated column, one
    that isn't published).
    """

    name: str
    native: str
    type: FieldType
    wire: str
    nullable: bool = True
    key: bool = False
    captured: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A table's columns as of now. A new object each time they change; compared by identity.

    table: its configured name.
    columns: in the order of a raw row's slots.
    wire: the form of raw rows.
    before: whether old rows are whole.
    """

    table: str
    columns: tuple[Column, ...]
    wire: Wire
    before: Literal["full", "none"] = "none"


class SourceTransaction(NamedTuple):
    """The transaction of a change in the source.

    id: for people and correlation; None: the source doesn't say.
    commit: 64-bit commit position; 0: the source has no order, capture assigns a number.
    committed_at: microseconds since 1970 UTC; None: the source doesn't say.
    visibility: what `Visibility.contains` is asked about (an xid, ...); 0 without that capability.
    """

    id: str | None
    commit: int
    committed_at: int | None
    visibility: int = 0


CREATE, UPDATE, DELETE, READ = 1, 2, 3, 4
"""Values of `Change.op`: indexes into `bridge.model.avro.OPS`."""


class Change(NamedTuple):
    """A change of one row. The row encoder also takes plain tuples of these slots.

    shape: of `old` and `new`.
    op: CREATE, UPDATE, DELETE or READ.
    old: raw; the whole old row when `old_full`, else a row in which only the old key is set (a
    changed key or a delete), or None.
    old_full: whether `old` is whole.
    new: raw; None for a delete.
    index: the row's running number in its transaction, over all tables, from 0.
    transaction: the same object for all changes of one transaction in a batch.
    causation: the id in the last command marker before it in its transaction.
    """

    shape: Shape
    op: int
    old: Any
    old_full: bool
    new: Any
    index: int  # type: ignore[assignment]  # tuple.index means nothing for a change
    transaction: SourceTransaction
    causation: str | None = None


class Watermark(NamedTuple):
    """A watermark as it came back through the stream.

    at: how many changes of the batch stand before it.
    name: as it was given to `Source.write_watermark`.
    commit: its commit position; 0 where the source has no order.
    """

    at: int
    name: str
    commit: int


class Truncate(NamedTuple):
    """TRUNCATE of tables.

    at: how many changes of the batch stand before it.
    tables: configured names.
    transaction: in which it happened.
    """

    at: int
    tables: tuple[str, ...]
    transaction: SourceTransaction


class Stale(NamedTuple):
    """Tables whose changes the source has missed: a token expired, or it never emits deletes and an
    interval is over. Capture reconciles them by itself: it reads every row again and writes deletes
    for keys that are gone. A reconcile under way starts again.

    tables: configured names.
    reason: for people.
    deletes_only: no change was missed but deletes. Then no rows are written, only deletes, and a
    reconcile that is requested already or under way is enough.
    once: the source will not ask again, so that only a reconcile that has not begun is enough.
    """

    tables: tuple[str, ...]
    reason: str
    deletes_only: bool = False
    once: bool = False


@dataclass(slots=True)
class Batch:
    """What one `read` returned; empty lists when nothing came within its wait.

    changes: in commit order.
    checkpoint: resumes after the last change of the batch, even inside a transaction.
    commit: commit position up to which everything has been read (an idle source's moves too); 0 where
    the source has no order.
    watermarks, truncates: by their place among `changes`.
    lag_bytes: how much the source still holds for us; None where it can't say.
    stale: tables to reconcile after the changes of this batch.
    silent: seconds for which the source has owed an answer: an empty batch is no progress then.
    troubles: tables that can't be read for now, and why; the others continue, and these do once they
    can be read.
    polls: of a source that doesn't emit every change, how many complete polls of all its tables it has
    emitted since it was opened.
    remarks: tables whose capture is slower or costs more than it could, and why.
    """

    changes: list[Change]
    checkpoint: Checkpoint
    commit: int
    watermarks: list[Watermark] = field(default_factory=list)
    truncates: list[Truncate] = field(default_factory=list)
    lag_bytes: int | None = None
    stale: list[Stale] = field(default_factory=list)
    silent: float = 0.0
    troubles: Mapping[str, str] = field(default_factory=dict)
    polls: int = 0
    remarks: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Captures changes of the tables that it was made for.

    Order of calls: `open`, then `read` again and again with `ack` and `write_watermark` in between,
    then `close`. After an error nothing but `close` is called; a new Source starts from the log's
    checkpoint.
    """

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """Begin after `after`, or (None) now; returns where it begins.

        With None everything that commits after the return is captured. The caller writes the
        returned checkpoint to the log before it reads. Raises RetryLater while the system is away or
        another instance reads it, HistoryLost when changes after `after` are gone,
        ConfigurationError with the statement that fixes it.
        """

    async def read(self, limit: int, timeout: float) -> Batch:
        """Return up to `limit` changes in commit order as soon as there is one; after `timeout`
        seconds an empty batch whose checkpoint may have advanced.

        May wait while `ack` is called. When it is cancelled the source is closed: changes that it had
        taken come again from the log's checkpoint. Raises RetryLater when the connection is lost,
        HistoryLost, ConfigurationError.
        """

    async def ack(self, upto: Checkpoint) -> None:
        """Everything up to `upto`, a checkpoint of a batch, is durable in the log: the source may
        forget it. Called by capture after the log's commit, in order, also while `read` waits.
        Raises RetryLater when the connection is lost.
        """

    async def write_watermark(self, name: str) -> None:
        """Write a watermark that comes back through `read` in commit order.

        A polling source (`every_change` false) emits the watermark after all changes of polls that
        started before this call: at once where none is under way. Raises Unsupported without the
        capability `snapshot`, RetryLater when the connection is lost.
        """

    async def close(self) -> None:
        """Stop. What was not acknowledged comes again. Never raises for a lost connection."""
