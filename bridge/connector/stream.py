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

    `native` is the source's own type name for people (`numeric(15,2)`), `type` the sensible
    field type when nothing is declared, `wire` the code of its bytes for the plan (`int4`,
    `numeric`, `python` ...), `key` whether it is part of the primary key. `captured` False: rows
    that are read have it, and changes never do (a generated column, one that isn't published).
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

    Raw rows of a Shape have one slot a column, in this order, in the form that `wire` names.
    `before`: whether old rows are whole.
    """

    table: str
    columns: tuple[Column, ...]
    wire: Wire
    before: Literal["full", "none"] = "none"


class SourceTransaction(NamedTuple):
    """A source transaction: `id` for people and correlation, `commit` the 64-bit commit
    position (0: the source has no order, capture counts), `committed_at` microseconds since
    1970 UTC or None, `visibility` what a snapshot's `contains` is asked about (an xid, ...).
    """

    id: str | None
    commit: int
    committed_at: int | None
    visibility: int = 0


CREATE, UPDATE, DELETE, READ = 1, 2, 3, 4
"""Values of `Change.op`: indexes into `bridge.model.avro.OPS`."""


class Change(NamedTuple):
    """A change as the source saw it. The executor also takes plain tuples of these slots.

    `old` is the whole old row when `old_full`, else a row in which only the old key is set (a
    changed key) or None. `index` is the row's running number in its transaction, over all
    tables, from 0. `causation` is the last command marker before it in its transaction.
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
    """A watermark as it came back through the stream; `at` = number of changes of the batch
    that stand before it. `commit` is its place in the commit order.
    """

    at: int
    name: str
    commit: int


class Truncate(NamedTuple):
    """TRUNCATE of tables; `at` as in Watermark."""

    at: int
    tables: tuple[str, ...]
    transaction: SourceTransaction


class Stale(NamedTuple):
    """Tables of which the source can't tell any more what happened to them: a token expired, or
    it never tells deletes and an interval is over. `reason` is for people.

    Capture compares them with the log by itself, with windows as for any snapshot: it reads every
    row anew and writes deletes for keys that are gone. A comparison under way begins anew then.
    `deletes_only`: changes were told all the same. Then no rows are written, only deletes, and a
    comparison that is asked for already or under way is enough; with `once` only one that has not
    begun, because the source will not ask for it again.
    """

    tables: tuple[str, ...]
    reason: str
    deletes_only: bool = False
    once: bool = False


@dataclass(slots=True)
class Batch:
    """What one `read` returned; empty lists when nothing came within its wait.

    `checkpoint` resumes after the last change of the batch, even inside a transaction.
    `commit` is the commit position up to which everything has been read (idle sources move on).
    `lag_bytes` tells how far behind the source is, where it knows. `silent`: seconds for which the
    source has owed a sign of life: an empty batch is no progress then. `troubles`: tables that can't
    be read for now, and why; the others go on, and they do once they can be. `remarks`: tables whose
    capture is slower or dearer than it could be, and why. `polls`, of a source
    that can't tell every change: how many complete looks at all of its tables it has told by now,
    since it was opened.
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
    then `close`. Raises RetryLater when the connection is lost (the runner opens a new Source
    from the log's checkpoint), HistoryLost when changes are gone, ConfigurationError with the
    statement that mends it.
    """

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """Begin after `after`, or (None) now; returns where it begins.

        With None everything that commits after the return is captured. The caller writes the
        returned checkpoint to the log before it reads.
        """

    async def read(self, limit: int, timeout: float) -> Batch:
        """Up to `limit` changes in commit order, as soon as there is one; else after `timeout`
        seconds an empty batch whose checkpoint may have moved on.
        """

    async def ack(self, upto: Checkpoint) -> None:
        """Everything up to here is durable in the log; the source may forget it."""

    async def write_watermark(self, name: str) -> None:
        """Write a watermark that comes back through `read` in commit order.

        A source that polls (`every_change` false) gives it back behind everything that polls begun
        before this call told: at once where none is under way, else behind the last page of it.
        Raises Unsupported without the capability `snapshot`.
        """

    async def close(self) -> None:
        """Stop. What was not acknowledged comes again. Never raises for a lost connection."""
