"""The port that connectors implement: Source, Snapshot, Reader, Writer, and their capabilities.

A connector is registered under the entry point group `bridge.connectors` as an object that
fulfils `Connector`. `bridge.kit.connector` is the suite that holds it to what is said here.

All coroutines of one object are called by one task at a time, except `Source.ack`, which may be
called while `Source.read` waits, and `Reader.fetch`, which is called concurrently up to the
system's `limits.connections`. Every coroutine may be cancelled; `close` is then still called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from bridge.model.declare import CommandSpec
from bridge.model.types import FieldType
from bridge.plan.steps import Wire

Checkpoint = bytes
"""A source's resume state: opaque to everyone but its connector; at most 64 kB."""

Condition = Mapping[str, Any]
"""Entity fields and the values that they must equal; the value may be a sequence (any of)."""


# -- what a connector can do ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a connector offers; shown by `bridgectl status`, tested by the suite.

    before: whether updates and deletes carry the whole old row (`table`: as each table is set up).
    every_change: whether every intermediate change is told, in commit order a key. Without it: for
    each key a part of its true states, in their order, that ends with the last one.
    transactions: whether changes carry their transaction and commit time.
    positions: `source` where changes carry their commit position (`Transaction.commit`), `counted`
    where that is 0 and capture counts.
    deletes: `told` by the source as they happen; `compared`: found by comparing keys whenever the
    source says so (`Stale`), so at an interval; `table`: the one or the other for each table.
    snapshot: watermark snapshots are possible. truncate: TRUNCATE is reported.
    visibility: reads tell which transactions they contain.
    markers: a command's id comes back with the change that it caused.
    read / write: a Reader / a Writer is there.
    ledger: the Writer is a LedgerWriter; without it a crash may leave a command's outcome open.
    """

    before: Literal["full", "none", "table"] = "none"
    every_change: bool = False
    transactions: bool = False
    positions: Literal["source", "counted"] = "source"
    deletes: Literal["told", "compared", "table"] = "told"
    snapshot: bool = False
    truncate: bool = False
    visibility: bool = False
    markers: bool = False
    capture: bool = True
    read: bool = False
    write: bool = False
    ledger: bool = False


# -- what a source yields ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the source describes it.

    `native` is the source's own type name for people (`numeric(15,2)`), `type` the sensible
    field type when nothing is declared, `wire` the code of its bytes for the plan (`int4`,
    `numeric`, `python` ...), `key` whether it is part of the primary key. `labels` are those of
    an enum, where the wire carries something else.
    """

    name: str
    native: str
    type: FieldType
    wire: str
    nullable: bool = True
    key: bool = False


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


class Transaction(NamedTuple):
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
    transaction: Transaction
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
    transaction: Transaction


class Stale(NamedTuple):
    """Tables of which the source can't tell any more what happened to them: a token expired, or
    it never tells deletes and an interval is over. `reason` is for people.

    Capture compares them with the log by itself, with windows as for any snapshot: it reads every
    row anew and writes deletes for keys that are gone. A comparison under way begins anew then.
    `deletes_only`: changes were told all the same. Then no rows are written, only deletes, and a
    comparison that is asked for already or under way is enough.
    """

    tables: tuple[str, ...]
    reason: str
    deletes_only: bool = False


@dataclass(slots=True)
class Batch:
    """What one `read` returned; empty lists when nothing came within its wait.

    `checkpoint` resumes after the last change of the batch, even inside a transaction.
    `commit` is the commit position up to which everything has been read (idle sources move on).
    `lag_bytes` tells how far behind the source is, where it knows. `silent`: seconds for which the
    source has owed a sign of life: an empty batch is no progress then. `troubles`: tables that can't
    be read for now, and why; the others go on, and they do once they can be. `looks`, of a source
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
    looks: int = 0


class Source(Protocol):
    """Captures changes of the tables that it was made for.

    Order of calls: `open`, then `read` again and again with `ack` and `mark` in between,
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

    async def mark(self, name: str) -> None:
        """Write a watermark that comes back through `read` in commit order.

        A source that polls (`every_change` false) gives it back behind everything that polls begun
        before this call told: at once where none is under way, else behind the last page of it.
        Raises Unsupported without the capability `snapshot`.
        """

    async def close(self) -> None:
        """Stop. What was not acknowledged comes again. Never raises for a lost connection."""


class Visibility(Protocol):
    """Which transactions a read has seen."""

    def contains(self, transaction: int) -> bool:
        """Whether the effects of that transaction (`Transaction.visibility`) were visible."""

    def unseen(self) -> Iterable[int]:
        """Every transaction (as in `Transaction.visibility`) that had begun by then, may have been
        told by the source already, and was not visible. Empty where reads show what is told.
        """


@dataclass(slots=True)
class Chunk:
    """Rows of a table in key order, read by one statement.

    `rows` raw rows of `shape`; `last` resumes behind the last row (opaque, JSON-able list of
    the key columns' text) and is None when the table is at its end.
    """

    shape: Shape
    rows: list[Any]
    last: list[Any] | None
    visibility: Visibility | None = None


class Snapshot(Protocol):
    """Reads a table in key-ordered chunks on a connection of its own."""

    async def count(self, table: str, where: Condition | None) -> int:
        """A quick estimate for progress bars."""

    async def chunk(
        self, table: str, where: Condition | None, after: list[Any] | None, limit: int
    ) -> Chunk:
        """The next `limit` rows behind `after`. `where` is in source columns and values."""

    async def close(self) -> None: ...


@runtime_checkable
class ListsKeys(Protocol):
    """A Snapshot that can list keys for less than whole rows: asked for where only deletes are
    missed (`Stale.deletes_only`).
    """

    async def keys(self, table: str, after: list[Any] | None, limit: int) -> Chunk:
        """As `chunk`, of the table's usual Shape, with MISSING in all columns but the key's."""


@dataclass(slots=True)
class Rows:
    """Raw rows of one lookup: aligned with nothing, the caller aligns them by key."""

    shape: Shape
    rows: list[Any]
    visibility: Visibility | None = None


class Reader(Protocol):
    """Set-based lookups for the gateway; every read goes through it."""

    async def fetch(
        self,
        table: str,
        columns: Sequence[str],
        keys: Sequence[tuple[Any, ...]],
        limit: int | None = None,
    ) -> Rows:
        """All rows whose `columns` equal one of `keys` (source values), in one query.

        `keys` empty and `columns` empty: all rows, up to `limit`. Raises RetryLater, or
        Rejected (`bad_key`) when one of the keys can't be asked for (the caller bisects).
        """

    @property
    def max_keys(self) -> int:
        """How many keys one query may carry."""

    async def close(self) -> None: ...


# -- commands ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """A command, ready to be carried out.

    `statement` with bound parameters `:name`; `parameters` source values. `table` and `key` name
    the row (source columns and values); `guard` is asked under the row's lock with the current
    raw row (None: not there) and raises Rejected (`conflict`, ...) to refuse.
    `many`: more than one row may be affected. `probe` is the command's own question to the system
    whether it has happened, with the parameters of `statement` (empty: none is declared).
    `partition` is who acts, as in `LedgerWriter.own` (empty: anybody may).
    `begin` is called right in front of each request that may carry it out, last of all checks. It
    raises Fenced when it is too late for this process to act: then nothing is sent, and Fenced is
    the effect's outcome.
    """

    command_id: str
    digest: str
    statement: str
    parameters: Mapping[str, Any]
    table: str
    key: Mapping[str, Any]
    guard: Callable[[Shape | None, Any], None] | None = None
    many: bool = False
    probe: str = ""
    partition: str = ""
    begin: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What the legacy system answered: rows affected, rows returned by the statement, raw.

    `repeated`: the ledger held this command already; nothing was done again, and `result`,
    `rows` and `finished_at` (microseconds) are those of the first time. `position` is a commit
    position at or behind that of the effect (`Transaction.commit`), where the system tells one.
    """

    rows: int
    result: str | None = None
    repeated: bool = False
    position: int | None = None
    after: Any = None
    shape: Shape | None = None
    finished_at: int | None = None


class Writer(Protocol):
    """Carries out commands.

    With the capability `ledger` each takes effect at most once, whoever asks however often (see
    LedgerWriter). Without it the executor keeps count: it writes its intent into the log before
    it asks, and what may have happened is probed for, never asked for again blindly.
    """

    @property
    def settle(self) -> float:
        """Seconds after which a request whose answer was lost has happened or never will, so that
        what a probe doesn't find then did not happen. 0 where the system answers for that itself.
        """

    async def prepare(self) -> None:
        """Check that all is there, the ledger too; raises ConfigurationError with the SQL that
        makes it, RetryLater while the system is away. May be called again at any time.
        """

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """Aligned outcomes. With a ledger, effects that succeed share one legacy transaction with
        their ledger rows and markers; each stands behind a savepoint, so that one failure spares
        the rest. Without, they are carried out in this order, and an error spares the rest too.

        Per effect: Done; Rejected (`not_found`, `conflict`, `key_reused`, `too_many_rows`,
        `legacy_error`), RetryLater and Fenced: it did not happen; OutcomeUnknown: it may have.
        Raises OutcomeUnknown when that is so for all (a commit's answer was lost: with a ledger,
        call again with the same effects, the ledger answers), RetryLater when nothing happened.
        """

    async def probe(self, effect: Effect) -> Done | None:
        """Whether it happened: what is known of it, or None when it certainly did not.

        With a ledger always answered, by id and digest alone. Raises Unsupported when it can't be
        told (nothing to look for), OutcomeUnknown when it can't be told for now, RetryLater.
        """

    async def close(self) -> None: ...


@runtime_checkable
class LedgerWriter(Writer, Protocol):
    """A Writer that keeps a ledger in the legacy transaction of the effect."""

    async def own(self, partitions: Sequence[str]) -> None:
        """From now on this Writer acts for these: a transaction of another one that acts for
        them has ended, or ends without effect. Raises RetryLater, ConfigurationError.

        Effects of a partition that another Writer owns by now (or nobody yet) have the outcome
        Fenced, decided in their transaction.
        """


# -- the connector -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table that the configuration names: its declared key columns (empty: the primary key)
    and the columns that are used (empty: all).
    """

    table: str
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class System:
    """One configured system as a connector sees it.

    `url` is resolved and secret: never print it; `shown_url` is for people. `options` is the
    validated model of `Connector.options`, `login` that of `LogsIn.login` (None: nothing is said).
    `limits` connections and queries a second. `commands`: whether any are declared, so that `check`
    and `setup` care for the ledger.
    """

    bridge: str
    name: str
    url: str = field(repr=False)
    shown_url: str
    options: Any
    tables: tuple[TableUse, ...]
    connections: int = 4
    commands: bool = True
    login: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `check` found: `what` is wrong, `fix` the exact statement that mends it.

    `fatal`: capture or commands would not work. `create`: the bridge can do `fix` on request.
    """

    what: str
    fix: str = ""
    fatal: bool = True
    create: bool = False


class Connector(Protocol):
    """The code that talks to one kind of system. Stateless; makes the other parts."""

    name: str
    options: type[BaseModel]
    """Model of the `capture:` mapping in the system's file."""

    def capabilities(self) -> Capabilities: ...

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """The tables' columns as the catalogue tells. Raises ConfigurationError for a missing
        table, RetryLater when the system is away.
        """

    async def check(self, system: System) -> list[Finding]:
        """Everything that is missing or dangerous, at once, with what mends it."""

    async def setup(self, system: System) -> list[str]:
        """Make what capture and commands need (publication, slot, journal, ledger); returns the
        statements that ran. Only on request.
        """

    def setup_sql(self, system: System) -> list[str]:
        """What `setup` would run, for people to read."""

    async def source(self, system: System) -> Source: ...

    async def snapshot(self, system: System) -> Snapshot: ...

    async def reader(self, system: System) -> Reader: ...

    async def writer(self, system: System) -> Writer: ...


class LogsIn(Protocol):
    """A connector whose systems say under `login:` how to log in; without this attribute (or with
    None) `login:` is refused.
    """

    login: type[BaseModel] | None
    """Model of the `login:` mapping. Fields of type `SecretStr` must be written by reference; those
    of type `Path` start at the folder of the file that names them.
    """


class Drafts(Protocol):
    """A connector that can write a systems file (`bridgectl schema import`)."""

    async def draft(self, system: System) -> str:
        """YAML of a systems file from `capture:` on, with comments: what `system.tables` names
        (empty: everything that the bridge can use). What was left out stands there as a comment.

        The lines before it (`system`, `connector`, `url`, `login`) are written by the caller, who
        alone knows the references in them. The whole must pass `bridgectl check` as it is.
        """


class Means(Protocol):
    """A connector that can say by what means it captures each table."""

    async def means(self, system: System) -> Mapping[str, str]:
        """For people, a phrase a table: `delta links`, `modifiedAt with 30 s overlap, deletions by
        key listing every 10 m`. Raises as `describe`.
        """


@runtime_checkable
class ChecksResuming(Protocol):
    """A Connector that can tell, without beginning, whether its source could go on."""

    async def check_resuming(self, system: System, after: Checkpoint) -> list[Finding]:
        """What would stop a source that is opened after this checkpoint of the log. Raises
        RetryLater or ConfigurationError when the system can't be asked.
        """


class StatementProblem(NamedTuple):
    """What is wrong with the `run` or `probe` of a command; `what` is a sentence."""

    command: str
    where: Literal["run", "probe"]
    what: str


@runtime_checkable
class ChecksCommands(Protocol):
    """A Connector that can hold commands against what the system has, without carrying them out."""

    async def check_commands(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[StatementProblem]:
        """Everything that is wrong with them whatever their arguments. Raises as `describe`."""


def unsupported(connector: str, what: str) -> str:
    """The message of an Unsupported error."""
    return f"connector {connector!r} does not support {what}"


__all__ = [
    "CREATE",
    "DELETE",
    "READ",
    "UPDATE",
    "Batch",
    "Capabilities",
    "Change",
    "Checkpoint",
    "ChecksCommands",
    "ChecksResuming",
    "Chunk",
    "Column",
    "Condition",
    "Connector",
    "Done",
    "Drafts",
    "Effect",
    "Finding",
    "LedgerWriter",
    "ListsKeys",
    "LogsIn",
    "Means",
    "Reader",
    "Rows",
    "Shape",
    "Snapshot",
    "Source",
    "Stale",
    "StatementProblem",
    "System",
    "TableUse",
    "Transaction",
    "Truncate",
    "Visibility",
    "Watermark",
    "Writer",
    "unsupported",
]
