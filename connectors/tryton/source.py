"""Captures changes of models by polling: rows by their times, deletions by what is left."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from bridge.connector import (
    CREATE,
    DELETE,
    UPDATE,
    Batch,
    Change,
    Checkpoint,
    Stale,
    System,
    Transaction,
    Watermark,
)
from bridge.model.errors import ConfigurationError, Rejected
from connectors.tryton.catalogue import Table, Tables
from connectors.tryton.checkpoint import Resume, unpack
from connectors.tryton.client import Client
from connectors.tryton.fields import ID
from connectors.tryton.known import Known, fingerprint
from connectors.tryton.look import LOG, WINDOW, Look
from connectors.tryton.recent import Recent, Stamp

MICRO = 1_000_000
LISTING_SHARE = 20
"""Ids are listed for at most one part in so many of the time."""
READ_AT_ONCE = 200
UNTIMED = Transaction(None, 0, None)

Found = tuple[Table, Stamp, bool]
"""A row that is news: its table, its time, and whether it is new itself."""


class TrytonSource:
    """`bridge.connector.Source` by polling. Deletions: where `ir.model.log` tells of one, and every
    `reconcile_minutes`, the ids that are left are compared with those that were there.

    A model that can't be read for now is left out, and compared with the log when it can be again.
    """

    def __init__(
        self,
        system: System,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = Client(system)
        self._tables = Tables(system, self._client)
        self._look = Look(self._client)
        self._names = [use.table for use in system.tables]
        self._where = f"capture of {system.name!r}"
        self._options = self._client.options
        self._overlap = int(self._options.overlap_seconds * MICRO)
        self._monotonic, self._clock = monotonic, clock
        self._resume = Resume()
        self._known: dict[str, Known] = {}
        self._failing: dict[str, str] = {}
        self._logged = False
        self._news: deque[Found] = deque()
        self._changes: deque[Change] = deque()
        self._stale: list[Stale] = []
        self._marks: list[str] = []
        self._due: list[str] = []
        self._wake = asyncio.Event()
        self._next_poll = self._next_deep = 0.0
        self._listed: dict[str, tuple[float, float]] = {}
        self._wanted: set[str] = set()
        self._packed = b""

    # -- the port ----------------------------------------------------------------------------

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`."""
        if after is not None:
            self._resume = unpack(after, self._where)
        self._logged = await self._reads_the_log()
        for name in self._names:
            try:
                await self._open(name, first=after is None)
            except (Rejected, ConfigurationError) as error:
                self._failing[name] = str(error)
        if len(self._failing) == len(self._names):
            raise ConfigurationError("; ".join(self._failing.values()))
        if self._logged and LOG not in self._resume.recent:
            recent = Recent(await self._look.newest(LOG))
            for row in await self._look.deletions(recent, self._overlap, self._names):
                recent.tell(row)
            self._resume.recent[LOG] = recent
        self._packed = self._resume.pack()
        return self._packed

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`."""
        until = self._monotonic() + timeout
        while True:
            if not (self._news or self._changes or self._due) and self._poll_is_due():
                await self._poll()
            batch = await self._batch(limit)
            left = until - self._monotonic()
            if batch.changes or batch.watermarks or batch.stale or left <= 0:
                return batch
            self._wake.clear()
            if self._marks:
                continue
            pause = min(left, max(0.0, self._next_poll - self._monotonic()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def ack(self, upto: Checkpoint) -> None:
        """Nothing to forget: the ERP keeps no place for us."""

    async def mark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`: it comes back behind the next poll that begins."""
        self._marks.append(name)
        self._wake.set()

    async def close(self) -> None:
        """End the session."""
        await self._client.close()

    # -- beginning ---------------------------------------------------------------------------

    async def _open(self, name: str, *, first: bool) -> None:
        """Begin with a model: now, or where the checkpoint says."""
        await self._tables.table(name)
        recent = self._resume.recent.get(name)
        if recent is None:
            recent = Recent(await self._look.newest(name))
            rows = await self._look.window(name, recent.begin(self._overlap))
            if len(rows) > WINDOW:
                recent.leap(max(row.at for row in rows))
            else:
                recent.since = recent.begin(self._overlap)
                for row in rows:
                    recent.tell(row)
            self._resume.recent[name] = recent
            self._resume.reconciled[name] = self._clock()
            if not first:
                self._compare(name, "it is captured from now on", deletes_only=False)
        await self._learn(name)

    async def _learn(self, name: str) -> None:
        """List the ids of a model of which only a fingerprint is known, or nothing."""
        listed = await self._list(name)
        before = self._resume.known.get(name)
        self._known[name] = known = Known(listed)
        if before is not None and fingerprint(listed, before.last) != before:
            self._compare(name, "rows were deleted while nobody looked", deletes_only=True)
        self._resume.known[name] = known.print

    async def _reads_the_log(self) -> bool:
        """Whether the ERP has its log of deletions, and this user may read it."""
        try:
            await self._look.newest(LOG, ["event", "=", "delete"])
        except (Rejected, ConfigurationError):
            return False
        return True

    # -- one poll ----------------------------------------------------------------------------

    def _poll_is_due(self) -> bool:
        return bool(self._marks) or self._monotonic() >= self._next_poll

    async def _poll(self) -> None:
        """Ask for what is new. What is found waits in `_news`, `_changes` and `_stale`."""
        now = self._monotonic()
        marks, self._marks = self._marks, []
        deep = bool(marks) or now >= self._next_deep
        window = self._overlap if deep else max(self._overlap // 10, 1)
        try:
            if self._logged:
                await self._look_into_the_log(window)
            for name in self._names:
                if deep or name not in self._failing:
                    await self._look_at(name, window)
        except BaseException:
            self._marks = marks + self._marks
            raise
        self._due = marks
        after = self._monotonic()
        self._next_poll = after + self._options.poll_seconds
        if deep:
            self._next_deep = after + self._options.overlap_every_seconds

    async def _look_into_the_log(self, window: int) -> None:
        recent = self._resume.recent[LOG]
        entries = await self._look.deletions(recent, window, self._names)
        if entries:
            found = await self._look.deleted_from([one.id for one in entries], self._names)
            self._wanted.update(found)
        for one in entries:
            recent.tell(one)
        recent.prune(self._overlap)

    async def _look_at(self, name: str, window: int) -> None:
        """One model; an error that is its own leaves it out until it is gone."""
        try:
            if name in self._failing:
                await self._recover(name)
            table = await self._tables.table(name)
            recent = self._resume.recent[name]
            begin = recent.begin(window)
            rows = await self._look.window(name, begin)
            if len(rows) > WINDOW:
                recent.leap(max(row.at for row in rows))
                self._compare(name, f"more than {WINDOW} rows changed at once", deletes_only=False)
            else:
                self._news += [
                    (table, row, recent.is_new(row, self._overlap)) for row in recent.news(rows)
                ]
            if self._listing_is_due(name):
                await self._compare_ids(name, table)
        except (Rejected, ConfigurationError) as error:
            self._failing[name] = str(error)
            if len(self._failing) == len(self._names):
                raise ConfigurationError(str(error)) from error

    async def _recover(self, name: str) -> None:
        await self._open(name, first=True)
        reason = self._failing.pop(name)
        self._compare(name, f"it could not be read for a while: {reason}", deletes_only=False)

    def _compare(self, name: str, reason: str, *, deletes_only: bool) -> None:
        """Ask capture to compare the model with the log."""
        self._stale.append(Stale((name,), reason, deletes_only))

    # -- deletions ---------------------------------------------------------------------------

    def _listing_is_due(self, name: str) -> bool:
        since = self._clock() - self._resume.reconciled.get(name, 0.0)
        if since >= self._options.reconcile_minutes * 60:
            self._wanted.add(name)
        at, took = self._listed.get(name, (0.0, 0.0))
        return name in self._wanted and self._monotonic() >= at + took * LISTING_SHARE

    async def _compare_ids(self, name: str, table: Table) -> None:
        """Tell what is gone since the ids were listed last."""
        self._wanted.discard(name)
        gone = self._known[name].gone(await self._list(name))
        self._resume.reconciled[name] = self._clock()
        if gone and table.key != (ID,):
            # Only the log knows their keys.
            self._compare(name, "rows were deleted", deletes_only=True)
            return
        shape = table.shape
        self._changes += [
            Change(shape, DELETE, table.gone(key), False, None, 0, UNTIMED) for key in gone
        ]

    async def _list(self, name: str) -> list[int]:
        began = self._monotonic()
        listed = await self._look.ids(name)
        self._listed[name] = (self._monotonic(), self._monotonic() - began)
        return listed

    # -- what is told ------------------------------------------------------------------------

    async def _batch(self, limit: int) -> Batch:
        """The next changes of what the last poll found: rows first, then deletions, then marks."""
        changes: list[Change] = []
        while self._news and len(changes) < limit:
            changes += await self._rows(limit - len(changes))
        while self._changes and len(changes) < limit:
            change = self._changes.popleft()
            name, key = change.shape.table, int(change.old[0])
            self._resume.recent[name].forget(key)
            changes.append(change)
        marks: list[Watermark] = []
        if not self._news and not self._changes:
            marks = [Watermark(len(changes), name, 0) for name in self._due]
            self._due = []
        stale, self._stale = self._stale, []
        if changes or stale:
            if not self._changes:
                # Not before: after a restart the ids alone tell of deletions that weren't told.
                for name, known in self._known.items():
                    self._resume.known[name] = known.print
            self._packed = self._resume.pack()
        return Batch(changes, self._packed, 0, marks, stale=stale)

    async def _rows(self, limit: int) -> list[Change]:
        """The next rows of one table, read as they are now."""
        table, some = self._news[0][0], list[Found]()
        for one in list(self._news)[: min(limit, READ_AT_ONCE)]:
            if one[0] is not table:
                break
            some.append(one)
        try:
            found = await self._look.rows(table, [row.id for _, row, _ in some])
        except (Rejected, ConfigurationError) as error:
            self._failing[table.model.name] = str(error)
            found = {}
        return self._told(table, some, found)

    def _told(
        self, table: Table, some: list[Found], found: dict[int, tuple[Stamp, object]]
    ) -> list[Change]:
        name = table.model.name
        recent, known = self._resume.recent[name], self._known[name]
        changes = []
        for _, row, new in some:
            self._news.popleft()
            if row.id not in found:
                # Deleted meanwhile: the ids that are left will tell, where it was told before.
                continue
            stamp, raw = found[row.id]
            recent.tell(stamp)
            known.add(row.id)
            transaction = UNTIMED._replace(committed_at=stamp.at)
            op = CREATE if new else UPDATE
            changes.append(Change(table.shape, op, None, False, raw, 0, transaction))
        recent.prune(self._overlap)
        return changes
