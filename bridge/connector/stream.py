"""What a source yields: changes of tables, in their order, and where to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from bridge.model.types import FieldType
from bridge.plan.steps import Wire

Checkpoint = bytes
"""A source's resume state, opaque to all but its connector; at most 64 kB."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the source describes it.

    name: its name in the source.
    native: the source's own type name, for people (`numeric(15,2)`).
    type: the field type unless one is declared.
    wire: the code of its bytes for the plan (`int4`, `numeric`, `python` ...).
    nullable: whether a row may have null in it.
    key: whether it is part of the primary key.
    captured: False if rows that are read have it but changes never do (a generated or unpublished
    column).
    exact_text: of a text, whether two values are the same to the source only if all of their
    characters are. False where that isn't known, as with a collation without case.
    """

    name: str
    native: str
    type: FieldType
    wire: str
    nullable: bool = True
    key: bool = False
    captured: bool = True
    exact_text: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A table's current columns. A new object each time they change; compared by identity.

    table: its configured name.
    columns: in the order of a raw row's slots.
    wire: the form of raw rows.
    before: whether old rows are complete.
    """

    table: str
    columns: tuple[Column, ...]
    wire: Wire
    before: Literal["full", "none"] = "none"


class SourceTransaction(NamedTuple):
    """The transaction of a change in the source.

    id: the change record's `transaction`. With the capability `visibility` it is `visibility` as
    decimal text, so that a read says of any record in the log whether it contains it; without, for
    people and correlation only. None: unknown.
    commit: 64-bit commit position; 0: the source has no order, capture assigns a number.
    committed_at: microseconds since 1970 UTC; None: unknown.
    visibility: the argument of `Visibility.contains` (an xid, ...); 0 without that capability.
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
    old: raw; the complete old row if `old_full`, else a row in which only the old key is set (a
    changed key or a delete), or None.
    old_full: whether `old` is complete.
    new: raw; None for a delete.
    index: the row's running number in its transaction, over all tables, from 0.
    transaction: the same object for all changes of one transaction in a batch.
    causation: the command id of the last marker before it in its transaction.
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
    """A watermark, read back from the stream.

    at: how many changes of the batch are before it.
    name: as passed to `Source.write_watermark`.
    commit: its commit position; 0 if the source has no order.
    """

    at: int
    name: str
    commit: int


class Truncate(NamedTuple):
    """A TRUNCATE of tables.

    at: how many changes of the batch are before it.
    tables: configured names.
    transaction: the transaction it was part of.
    """

    at: int
    tables: tuple[str, ...]
    transaction: SourceTransaction


class Stale(NamedTuple):
    """Tables whose changes the source has missed: a token expired, or it never emits deletes and an
    interval has passed. Capture reconciles them: it reads every row again and writes deletes for
    keys that are gone. A running reconcile starts over.

    tables: configured names.
    reason: for people.
    deletes_only: only deletes were missed. Then only deletes are written, no rows, and a reconcile
    that is already requested or running suffices.
    once: the source will not repeat this, so only a reconcile that has not begun suffices.
    """

    tables: tuple[str, ...]
    reason: str
    deletes_only: bool = False
    once: bool = False


@dataclass(slots=True)
class Batch:
    """What one `read` returned; empty if nothing arrived within its timeout.

    changes: in commit order.
    checkpoint: resumes after the last change of the batch, even inside a transaction.
    commit: commit position up to which everything has been read (it advances for an idle source
    too); 0 if the source has no order. watermarks, truncates: with their index in `changes`.
    lag_bytes: how much the source still retains for us; None: unknown.
    stale: tables to reconcile after the changes of this batch.
    silent: seconds for which the source has not responded; if not 0, an empty batch is no progress.
    troubles: tables that can't be read now, and why; others continue, and these resume once they
    can be read.
    polls: for a source that doesn't emit every change, how many complete polls of all its tables it
    has emitted since it was opened.
    remarks: tables whose capture is slower or more expensive than possible, and why.
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

    Order of calls: `open`, then `read` repeatedly with `ack` and `write_watermark` in between, then
    `close`. After an error only `close` is called; a new Source starts from the log's checkpoint.
    """

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """Begin after checkpoint `after`, or (None) now; returns the checkpoint at which it begins.

        With None, everything that commits after the return is captured. The caller writes the
        returned checkpoint to the log before it reads. Raises RetryLater while the system is
        unavailable or another instance reads it, HistoryLost if changes after `after` are gone,
        ConfigurationError with the statement that fixes it.
        """

    async def read(self, limit: int, timeout: float) -> Batch:
        """Return up to `limit` changes in commit order as soon as there is one; after `timeout`
        seconds an empty batch whose checkpoint may have advanced.

        `ack` may be called while it waits. After a cancellation the source is closed, and changes
        that it had taken are read again from the log's checkpoint. Raises RetryLater if the
        connection is lost, HistoryLost, ConfigurationError.
        """

    async def ack(self, upto: Checkpoint) -> None:
        """Acknowledge that everything up to `upto`, a batch's checkpoint, is durable in the log:
        the source may discard it. Called by capture after the log's commit, in order, also while
        `read` waits. Raises RetryLater if the connection is lost.
        """

    async def write_watermark(self, name: str) -> None:
        """Write a watermark that comes back through `read` in commit order. Called also while `read`
        waits, which then returns as soon as the watermark is there, and while another call of it is
        under way.

        A polling source (`every_change` false) emits the watermark after all changes of polls that
        started before this call: immediately if none is running. Raises Unsupported without the
        capability `snapshot`, RetryLater if the connection is lost.
        """

    async def close(self) -> None:
        """Stop. Unacknowledged changes are read again by the next Source. Never raises for a lost
        connection.
        """
