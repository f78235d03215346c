"""Captures changes from a journal: reads after the checkpoint, deletes what is durable."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy.engine import Connection

from bridge.closing import close_all
from bridge.connector import (
    Batch,
    Change,
    Checkpoint,
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
)
from connectors.journal.entry_changes import change_of
from connectors.journal.journaled_tables import JournaledTables
from connectors.journal.purge import JournalPurge
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.sqlite.connection import BEGIN_OPTION, BUSY_TIMEOUT_S
from connectors.sql.threads import ConnectionThreads

T = TypeVar("T")
WRITE_TIMEOUT_S = 1.0
"""How long one attempt to write waits for the lock: so long a source may take to close."""
NOT_JOURNALED = "its journal triggers were gone for a while"
MAX_PURGE_S = 0.5
"""How long one acknowledgement deletes rows; nothing is written into the log meanwhile. The next one
continues.
"""
BUSY_PAUSE_S = 0.02
"""Seconds between two reads of a database whose writer holds its lock."""


class JournalSource:
    """`bridge.connector.Source` over a journal.

    Reads and writes have a connection each, so that `ack` and `write_watermark` don't wait for a read.
    `ack` collects: `JournalPurge` says how.
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
        self._dialect = dialect
        self._poll_seconds = poll_seconds
        self._monotonic = monotonic
        self._watch = dialect.watch(system)
        self._readers = ConnectionThreads(make_engine(system), 1, "journal-read")
        writing = make_engine(system, busy_timeout_s=WRITE_TIMEOUT_S)
        dialect.prepare_writes(writing)
        self._writers = ConnectionThreads(writing, 1, "journal-write")
        self._purge = JournalPurge(
            dialect,
            self._write,
            max_rows=purge_batch_rows,
            min_pause_s=purge_after_seconds,
            monotonic=monotonic,
        )
        self._where = f"journal of {system.name!r}"
        self._name = system.name
        self._tables = JournaledTables(system, dialect)
        self._incarnation = ""
        self._position: JournalPosition = (0,)
        self._fingerprint = ""
        self._owner = ""
        self._commit_token: Hashable | None = None
        self._broken: frozenset[str] = frozenset()
        """Tables that were not journaled at `_position`, as the last checkpoint says."""
        self._closed = False

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`."""
        resume = None if after is None else unpack_checkpoint(after)

        def act(connection: Connection) -> JournalCheckpoint:
            if not self._dialect.exists(connection):
                raise ConfigurationError(
                    f"{self._where}: its tables and triggers are not there; make them with "
                    f"`bridgectl setup {self._name}`, or see the statements with --show"
                )
            state = self._dialect.state(connection)
            position = state.position if resume is None else resume.position
            entry = self._dialect.entry(connection, position)
            reason = find_loss(resume, state, entry)
            if reason is not None:
                raise self._history_lost(reason)
            return JournalCheckpoint(
                state.incarnation,
                position,
                state.confirmed,
                "" if entry is None else fingerprint_of(entry),
                # Becomes the journal's with the first acknowledgement, when it is in the log.
                (resume and resume.owner) or secrets.token_hex(8),
                resume.broken if resume else (),
            )

        start = await self._read(act)
        self._incarnation, self._position = start.incarnation, start.position
        self._purge.confirmed = start.confirmed
        self._fingerprint, self._owner = start.fingerprint, start.owner
        self._broken = frozenset(start.broken)
        return start.pack()

    def _history_lost(self, reason: str) -> HistoryLost:
        return HistoryLost(lost_text(self._name, reason, self._dialect.restart_statement))

    @property
    def _checkpoint(self) -> JournalCheckpoint:
        """Up to where it has read."""
        return JournalCheckpoint(
            self._incarnation,
            self._position,
            self._purge.confirmed,
            self._fingerprint,
            self._owner,
            tuple(sorted(self._broken)),
        )

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`; checks for commits every `poll_seconds`."""
        deadline = self._monotonic() + timeout
        while True:
            # Read before the rows: what commits in between is found by the next poll.
            token = self._watch.token()
            if token is None or token != self._commit_token:
                entries = await self._entries(limit, deadline)
                if entries or self._broken != self._tables.problems.keys():
                    return self._batch(entries)
                self._commit_token = token
            remaining_s = deadline - self._monotonic()
            if remaining_s <= 0:
                return self._batch([])
            await asyncio.sleep(min(self._poll_seconds, remaining_s))

    async def _entries(self, limit: int, deadline: float) -> list[JournalEntry]:
        """The next entries. A lock is waited for until the deadline; after that it is RetryLater."""
        checkpoint = self._checkpoint
        while True:
            try:
                return await self._read(
                    lambda connection: self._next_entries(connection, checkpoint, limit)
                )
            except RetryLater:
                if self._monotonic() >= deadline:
                    raise
                await asyncio.sleep(BUSY_PAUSE_S)

    def _next_entries(
        self, connection: Connection, checkpoint: JournalCheckpoint, limit: int
    ) -> list[JournalEntry]:
        """The next entries, in one read transaction with all that shows whether they are all."""
        self._tables.refresh(connection)
        # The row at the checkpoint comes along, where it is there.
        entries = self._dialect.entries(connection, before(checkpoint.position), limit + 1)
        has_last = bool(entries) and entries[0].position == checkpoint.position
        entry = entries.pop(0) if has_last else None
        del entries[limit:]
        if not is_complete(checkpoint, entry, entries):
            state = self._dialect.state(connection)
            reason = find_loss(checkpoint, state, entry)
            reason = reason or find_gap(checkpoint.position, entries, state)
            if reason is not None:
                raise self._history_lost(reason)
        if entries:
            self._tables.check_keys(connection)
        used = {entry.layout for entry in entries} - {WATERMARK}
        if used - self._tables.layouts:
            self._tables.read_layouts(connection)
        if missing := used - self._tables.layouts:
            raise self._history_lost(
                f"nobody knows any more what the rows of layout {min(missing)} hold: rows of the "
                "journal's layouts were deleted"
            )
        return entries

    def _batch(self, entries: list[JournalEntry]) -> Batch:
        changes: list[Change] = []
        watermarks: list[Watermark] = []
        problems, all_frames = self._tables.problems, self._tables.frames
        broken = frozenset(problems)
        unjournaled = set(self._broken - broken)
        # A layout without a frame is of a table that is not configured any more.
        frames = {
            number: frame
            for number, frame in all_frames.items()
            if not (problem := problems.get(frame.shape.table)) or not problem.elsewhere
        }
        for entry in entries:
            frame = frames.get(entry.layout)
            if frame is not None and entry.op:
                changes.append(change_of(entry, frame))
            elif entry.layout == WATERMARK:
                watermarks.append(Watermark(len(changes), entry.command or "", entry.position[0]))
            elif entry.op == TRIGGERS_RENEWED and entry.layout in all_frames:
                unjournaled.add(all_frames[entry.layout].shape.table)
        if entries:
            self._position = entries[-1].position
            self._fingerprint = fingerprint_of(entries[-1])
        self._broken = broken
        return Batch(
            changes,
            self._checkpoint.pack(),
            self._position[0],
            watermarks,
            stale=[Stale(tuple(sorted(unjournaled)), NOT_JOURNALED)] if unjournaled else [],
            troubles={table: problem.reason for table, problem in problems.items()},
        )

    async def ack(self, upto: Checkpoint) -> None:
        """As `bridge.connector.Source.ack`."""
        checkpoint = unpack_checkpoint(upto)
        self._purge.note_durable(checkpoint.position)
        self._owner = checkpoint.owner or self._owner
        if self._purge.is_due:
            await self._run_purge(MAX_PURGE_S)

    async def _run_purge(self, seconds: float) -> None:
        try:
            await self._purge.run(seconds, self._owner)
        except HistoryLost as error:
            raise self._history_lost(str(error)) from error

    async def write_watermark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`."""

        def act(connection: Connection) -> None:
            self._dialect.watermark(connection, name)

        deadline = self._monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                return await self._write(act)
            except RetryLater:
                if self._monotonic() >= deadline:
                    raise

    async def _read(self, act: Callable[[Connection], T]) -> T:
        with translating_errors(self._where):
            return await self._readers.run(act)

    async def _write(self, act: Callable[[Connection], T]) -> T:
        with translating_errors(self._where):
            return await self._writers.run(act, **{BEGIN_OPTION: "BEGIN IMMEDIATE"})

    async def close(self) -> None:
        """Delete what is durable and close the connections. May be called twice."""
        self._watch.close()
        await close_all(self._purge_once, self._readers.close, self._writers.close)

    async def _purge_once(self) -> None:
        if not self._closed:
            self._closed = True
            # What can't be deleted now stays; the next source does it.
            with suppress(BridgeError):
                await self._run_purge(WRITE_TIMEOUT_S)


def before(position: JournalPosition) -> JournalPosition:
    """A position after which the row at `position` is the next one."""
    return (*position[:-1], position[-1] - 1)
