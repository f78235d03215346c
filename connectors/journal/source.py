"""Captures changes from a journal: reads behind the checkpoint, forgets what is durable."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from math import inf
from typing import TypeVar

from sqlalchemy.engine import Connection

from bridge.connector import (
    CREATE,
    DELETE,
    Batch,
    Change,
    Checkpoint,
    SourceTransaction,
    Stale,
    System,
    Watermark,
)
from bridge.model.errors import BridgeError, ConfigurationError, HistoryLost, RetryLater
from connectors.journal.checkpoint import (
    JournalCheckpoint,
    find_gap,
    find_loss,
    fingerprint_of,
    is_complete,
    lost_text,
    unpack_checkpoint,
)
from connectors.journal.dialects.contract import (
    TRIGGERS_RENEWED,
    WATERMARK,
    JournalDialect,
    JournalEntry,
    JournalPosition,
    PurgeResult,
    TableProblem,
)
from connectors.journal.layout import Frame, Layout, frame_for
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.schema.tables import TableCatalog, read_table
from connectors.sql.sqlite.connection import BEGIN, BUSY_TIMEOUT_S
from connectors.sql.threads import ConnectionThreads

T = TypeVar("T")
WRITE_TIMEOUT_S = 1.0
"""How long one attempt to write waits for the lock: so long a source may take to close."""
NOT_JOURNALED = "its journal triggers were gone for a while"
LONGEST_HOLD_S = 0.002
"""Transactions that forget rows are made smaller until they hold the lock no longer."""
FEWEST_FORGOTTEN = 50
"""Rows of the first one, and at least of each."""
REST, LONGEST_REST_S = 4, 0.1
"""Between two of them the lock is left alone for so many times as long, and at most so long."""
FORGETTING_S = 0.5
"""So long one acknowledgement deletes rows at most; nothing is written into the log meanwhile. The next
one goes on.
"""
BUSY_RETRY = 0.02
"""Seconds between two looks at a database whose writer holds its lock."""


class JournalSource:
    """`bridge.connector.Source` over a journal.

    Reads and writes have a connection each, so that `ack` and `mark` don't wait for a read.
    `ack` collects: rows are deleted every `purge_after_seconds` at most, in transactions of at most
    `purge_batch_rows` that hold the lock for some milliseconds, so that the legacy program never waits
    long for it; a deletion that found the database locked is made up for by the next one.
    """

    def __init__(
        self,
        system: System,
        dialect: JournalDialect,
        *,
        poll_seconds: float = 0.03,
        purge_batch_rows: int = 2000,
        purge_after_seconds: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._dialect = dialect
        self._poll = poll_seconds
        self._forget_rows = purge_batch_rows
        self._forget_seconds = purge_after_seconds
        self._monotonic = monotonic
        self._watch = dialect.watch(system)
        self._readers = ConnectionThreads(make_engine(system), 1, "journal-read")
        writing = make_engine(system, busy_timeout_s=WRITE_TIMEOUT_S)
        dialect.prepare_writes(writing)
        self._writers = ConnectionThreads(writing, 1, "journal-write")
        self._forget_now = FEWEST_FORGOTTEN
        self._where = f"journal of {system.name!r}"
        self._name = system.name
        self._frames: dict[int, Frame] = {}
        self._wanted = {use.table: use for use in system.tables}
        self._incarnation = ""
        self._mark: JournalPosition = (0,)
        self._confirmed: JournalPosition | None = None
        self._fingerprint = ""
        self._owner = ""
        self._token: Hashable | None = None
        self._schema: Hashable | None = None
        self._layouts: frozenset[int] = frozenset()
        self._troubles: dict[str, TableProblem] = {}
        self._untyped: dict[str, Layout] = {}
        """Tables that are there and whose keys may be ambiguous, by their newest layout."""
        self._broken: frozenset[str] = frozenset()
        """Tables that were not journaled at `_mark`, as the last checkpoint says."""
        self._durable: JournalPosition | None = None
        self._forgotten_at = 0.0
        self._closed = False

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`."""
        resume = None if after is None else unpack_checkpoint(after)

        def act(connection: Connection) -> JournalCheckpoint:
            if not self._dialect.is_there(connection):
                raise ConfigurationError(
                    f"{self._where}: its tables and triggers are not there; make them with "
                    f"`bridgectl setup {self._system.name}`, or see the statements with --show"
                )
            state = self._dialect.state(connection)
            mark = state.position if resume is None else resume.mark
            entry = self._dialect.entry(connection, mark)
            reason = find_loss(resume, state, entry)
            if reason is not None:
                raise self._history_lost(reason)
            return JournalCheckpoint(
                state.incarnation,
                mark,
                state.confirmed,
                "" if entry is None else fingerprint_of(entry),
                # Becomes the journal's with the first acknowledgement, when it is in the log.
                (resume and resume.owner) or secrets.token_hex(8),
                resume.broken if resume else (),
            )

        begun = await self._read(act)
        self._incarnation, self._mark, self._confirmed = (
            begun.incarnation,
            begun.mark,
            begun.confirmed,
        )
        self._fingerprint, self._owner = begun.fingerprint, begun.owner
        self._broken = frozenset(begun.broken)
        return begun.pack()

    def _history_lost(self, reason: str) -> HistoryLost:
        return HistoryLost(lost_text(self._name, reason, self._dialect.begin_anew))

    @property
    def _resume(self) -> JournalCheckpoint:
        """Where it is."""
        return JournalCheckpoint(
            self._incarnation,
            self._mark,
            self._confirmed,
            self._fingerprint,
            self._owner,
            tuple(sorted(self._broken)),
        )

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`; looks for commits every `poll_seconds`."""
        until = self._monotonic() + timeout
        while True:
            # Read before the rows: what commits in between is found by the next look.
            token = self._watch.token()
            if token is None or token != self._token:
                found = await self._entries(limit, until)
                if found or self._broken != self._troubles.keys():
                    return self._batch(found)
                self._token = token
            left = until - self._monotonic()
            if left <= 0:
                return self._batch([])
            await asyncio.sleep(min(self._poll, left))

    async def _entries(self, limit: int, until: float) -> list[JournalEntry]:
        """The next entries. A lock is waited for until then; after that it is RetryLater."""
        resume = self._resume
        while True:
            try:
                return await self._read(lambda connection: self._look(connection, resume, limit))
            except RetryLater:
                if self._monotonic() >= until:
                    raise
                await asyncio.sleep(BUSY_RETRY)

    def _look(
        self, connection: Connection, resume: JournalCheckpoint, limit: int
    ) -> list[JournalEntry]:
        """The next entries, in one read transaction with all that tells whether they are all."""
        schema = self._dialect.schema_token(connection)
        if schema != self._schema:
            self._look_at_schema(connection)
            self._schema = schema
        # The row at the mark comes along, where it is there.
        entries = self._dialect.entries(connection, before(resume.mark), limit + 1)
        entry = entries.pop(0) if entries and entries[0].mark == resume.mark else None
        del entries[limit:]
        if not is_complete(resume, entry, entries):
            state = self._dialect.state(connection)
            reason = find_loss(resume, state, entry) or find_gap(resume.mark, entries, state)
            if reason is not None:
                raise self._history_lost(reason)
        if entries and self._untyped:
            self._look_at_keys(connection)
        used = {entry.layout for entry in entries} - {WATERMARK}
        if used - self._layouts:
            self._learn(connection)
        if strangers := used - self._layouts:
            raise self._history_lost(
                f"nobody knows any more what the rows of layout {min(strangers)} hold: rows of the "
                "journal's layouts were deleted"
            )
        return entries

    def _look_at_schema(self, connection: Connection) -> None:
        """Somebody changed tables or triggers, or this is the first look."""
        self._frames.clear()
        self._layouts = frozenset()
        if not self._dialect.is_there(connection):
            raise ConfigurationError(
                f"{self._where}: its tables are gone; make them with `bridgectl setup {self._name}`"
            )
        layouts = self._dialect.layouts(connection)
        self._troubles = self._dialect.troubles(connection, list(self._wanted), layouts)
        newest = {layout.table: layout for layout in layouts if layout.table in self._wanted}
        self._untyped = {
            table: layout
            for table, layout in newest.items()
            if table not in self._troubles and self._dialect.may_be_ambiguous(layout)
        }
        self._look_at_keys(connection)

    def _look_at_keys(self, connection: Connection) -> None:
        for table, layout in self._untyped.items():
            why = self._dialect.ambiguous_key(connection, layout)
            if why:
                self._troubles[table] = TableProblem(why)
            else:
                self._troubles.pop(table, None)

    def _learn(self, connection: Connection) -> None:
        now: dict[str, TableCatalog | None] = {}
        layouts = self._dialect.layouts(connection)
        self._layouts = frozenset(layout.id for layout in layouts)
        for layout in layouts:
            use = self._wanted.get(layout.table)
            if use is None:
                continue
            if layout.table not in now:
                try:
                    now[layout.table] = read_table(connection, layout.table, use.key)
                except ConfigurationError:
                    # Dropped or renamed since: its last changes are still told.
                    now[layout.table] = None
            self._frames[layout.id] = frame_for(layout, now[layout.table])

    def _batch(self, entries: list[JournalEntry]) -> Batch:
        changes: list[Change] = []
        watermarks: list[Watermark] = []
        broken = frozenset(self._troubles)
        missed = set(self._broken - broken)
        # A layout without a frame is of a table that is not configured any more.
        frames = {
            number: frame
            for number, frame in self._frames.items()
            if not (trouble := self._troubles.get(frame.shape.table)) or not trouble.elsewhere
        }
        for entry in entries:
            frame = frames.get(entry.layout)
            if frame is not None and entry.op:
                changes.append(change_of(entry, frame))
            elif entry.layout == WATERMARK:
                watermarks.append(Watermark(len(changes), entry.command or "", entry.mark[0]))
            elif entry.op == TRIGGERS_RENEWED and entry.layout in self._frames:
                missed.add(self._frames[entry.layout].shape.table)
        if entries:
            self._mark = entries[-1].mark
            self._fingerprint = fingerprint_of(entries[-1])
        self._broken = broken
        return Batch(
            changes,
            self._resume.pack(),
            self._mark[0],
            watermarks,
            stale=[Stale(tuple(sorted(missed)), NOT_JOURNALED)] if missed else [],
            troubles={table: trouble.why for table, trouble in self._troubles.items()},
        )

    async def ack(self, upto: Checkpoint) -> None:
        """As `bridge.connector.Source.ack`."""
        resume = unpack_checkpoint(upto)
        self._durable, self._owner = resume.mark, resume.owner or self._owner
        if self._monotonic() - self._forgotten_at >= self._forget_seconds:
            await self._forget(FORGETTING_S)

    async def _forget(self, seconds: float) -> None:
        durable = self._durable
        if durable is None or durable == self._confirmed:
            return
        begun = self._forgotten_at = self._monotonic()

        def act(connection: Connection) -> PurgeResult:
            limit = min(self._forget_now, self._forget_rows)
            return self._dialect.confirm(connection, durable, limit, self._owner)

        try:
            while True:
                forgotten = await self._write(act)
                self._forget_now = fitting_rows(
                    self._forget_now, forgotten.held_s, self._forget_rows
                )
                if forgotten.complete:
                    break
                if self._monotonic() - begun >= seconds:
                    self._forgotten_at = -inf
                    return
                # Most of the time the lock is free for the legacy program.
                await asyncio.sleep(min(REST * forgotten.held_s, LONGEST_REST_S))
        except RetryLater:
            return
        except HistoryLost as error:
            raise self._history_lost(str(error)) from error
        self._confirmed = durable

    async def write_watermark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`."""

        def act(connection: Connection) -> None:
            self._dialect.watermark(connection, name)

        until = self._monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                return await self._write(act)
            except RetryLater:
                if self._monotonic() >= until:
                    raise

    async def _read(self, act: Callable[[Connection], T]) -> T:
        with translating_errors(self._where):
            return await self._readers.run(act)

    async def _write(self, act: Callable[[Connection], T]) -> T:
        with translating_errors(self._where):
            return await self._writers.run(act, **{BEGIN: "BEGIN IMMEDIATE"})

    async def close(self) -> None:
        """Forget what is durable and close the connections. May be called twice."""
        if not self._closed:
            self._closed = True
            # What can't be forgotten now stays; the next source does it.
            with suppress(BridgeError):
                await self._forget(WRITE_TIMEOUT_S)
        self._watch.close()
        await self._readers.close()
        await self._writers.close()


def before(mark: JournalPosition) -> JournalPosition:
    """A mark behind which the row at `mark` is the next one."""
    return (*mark[:-1], mark[-1] - 1)


def fitting_rows(rows: int, held_s: float, most: int) -> int:
    """How many rows the next transaction forgets, after one of `rows` held the lock so long."""
    if held_s > LONGEST_HOLD_S:
        return max(rows // 2, FEWEST_FORGOTTEN)
    return min(rows * 2, most) if held_s < LONGEST_HOLD_S / 2 else rows


def change_of(entry: JournalEntry, frame: Frame) -> Change:
    """An entry as a change. Each stands for itself: SQLite's triggers see no transaction id."""
    width, values, op = frame.width, entry.values, entry.op
    told = SourceTransaction(None, entry.mark[0], entry.made_at, entry.mark[0])
    old = values[:width] if op != CREATE else None
    new = values[width : 2 * width] if op != DELETE else None
    full = frame.whole and old is not None
    shown = None
    if old is not None:
        moved = new is not None and any(old[at] != new[at] for at in frame.key)
        if full:
            shown = frame.row(old)
        elif op == DELETE or moved:
            shown = frame.key_only(old)
    return Change(
        frame.shape,
        op,
        shown,
        full,
        None if new is None else frame.row(new),
        0,
        told,
        entry.command,
    )
