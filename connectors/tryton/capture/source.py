"""Captures changes of models by polling: rows by their times, deletions by what is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from connectors.erp.pending_watermarks import PendingWatermarks
from connectors.erp.readability import check_any_readable
from connectors.tryton.capture.checkpoint import pack, unpack
from connectors.tryton.capture.deletion_log import DeletionLog
from connectors.tryton.capture.model_poller import ChangedRow, ModelPoller
from connectors.tryton.capture.poll import DELETION_LOG_MODEL, Poll
from connectors.tryton.capture.recent_changes import MICROS_PER_SECOND
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import NoSession, UserRefused
from connectors.tryton.metadata.model_table import ModelTable, ModelTables

UNTIMED = Transaction(None, 0, None)


class TrytonSource:
    """`bridge.connector.Source` by polling. Deletions: where `ir.model.log` tells of one, and every
    `reconcile` seconds, the ids that are left are compared with those that were there.

    A model that can't be read for now is left out (`Batch.troubles`) and asked again with each look
    at the whole overlap. Only when none can be read does `read` raise RetryLater, as it does where
    something else than the ERP answers; a login that is refused is the configuration's fault.
    """

    def __init__(
        self,
        system: System,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._system = system
        self._client = TrytonClient(system)
        self._tables = ModelTables(system, self._client)
        self._look = Poll(self._client)
        self._options = self._client.options
        self._overlap = int(self._options.overlap * MICROS_PER_SECOND)
        self._monotonic, self._clock = monotonic, clock
        self._watched: dict[str, ModelPoller] = {}
        self._trail = DeletionLog(self._client, self._look, self._overlap, None)
        #: What the last poll found, and wasn't told yet: rows, then deletions.
        self._news: deque[tuple[ModelPoller, ChangedRow]] = deque()
        self._gone: deque[tuple[ModelPoller, ModelTable, int]] = deque()
        self._stale: list[Stale] = []
        self._watermarks = PendingWatermarks()
        self._next_poll = self._next_whole = 0.0
        self._packed = b""
        self._polls = self._looks = 0

    # -- the port ----------------------------------------------------------------------------

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`."""
        with _perhaps_passing(known=after is not None):
            return await self._open(after)

    async def _open(self, after: Checkpoint | None) -> Checkpoint:
        saved = {} if after is None else unpack(after, f"capture of {self._system.name!r}")
        # By itself: after a few wrong passwords Tryton makes a user wait.
        await self._client.log_in()
        self._trail = DeletionLog(
            self._client, self._look, self._overlap, saved.get(DELETION_LOG_MODEL)
        )
        await self._trail.begin()
        for use in self._system.tables:
            name = use.table
            one = self._watched[name] = ModelPoller(
                name,
                self._tables,
                self._look,
                saved.get(name),
                options=self._options,
                monotonic=self._monotonic,
                clock=self._clock,
                max_deletes=use.max_deletes,
            )
            try:
                await one.begin(first=after is None)
            except NoSession:
                raise
            except (Rejected, ConfigurationError) as error:
                one.trouble = str(error)
        self._all_in_trouble(first=after is None)
        # What was missed meanwhile isn't told yet.
        self._packed = self._pack() if after is None else after
        return self._packed

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`."""
        with _perhaps_passing(known=True):
            return await self._read(limit, timeout)

    async def _read(self, limit: int, timeout: float) -> Batch:
        until = self._monotonic() + timeout
        while True:
            if not (self._news or self._gone) and self._monotonic() >= self._next_poll:
                await self._poll()
            batch = await self._batch(limit)
            left = until - self._monotonic()
            if batch.changes or batch.watermarks or batch.stale or left <= 0:
                return batch
            await self._watermarks.wait(min(left, max(0.0, self._next_poll - self._monotonic())))

    async def ack(self, upto: Checkpoint) -> None:
        """Nothing to forget: the ERP keeps no place for us."""

    async def mark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`: it comes back behind what the last poll found."""
        self._watermarks.add(name)

    async def close(self) -> None:
        """End the session."""
        await self._client.close()

    # -- one poll ----------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Ask for what is new. What is found waits in `_news`, `_gone` and `_stale`."""
        whole = self._monotonic() >= self._next_whole
        window = self._overlap if whole else max(self._overlap // 10, 1)
        for name in await self._trail.look(self._related(), window, whole=whole):
            self._watched[name].wanted = True
        for one in self._watched.values():
            if whole or not one.trouble:
                await self._look_at(one, whole=whole)
        self._polls += 1
        after = self._monotonic()
        self._next_poll = after + self._options.poll
        if whole:
            # A clock that was set back is noticed before what it wrote since is behind the overlap.
            overlap = self._options.overlap
            self._next_whole = after + min(self._options.overlap_every, overlap / 2)

    def _related(self) -> Mapping[str, set[str]]:
        """The models whose deletions matter, and which of ours they may take rows from: their own,
        and those that can't be without them, which go along untold.
        """
        found: dict[str, set[str]] = {}
        for name in self._watched:
            for model in (name, *self._tables.parents(name)):
                found.setdefault(model, set()).add(name)
        return found

    async def _look_at(self, one: ModelPoller, *, whole: bool) -> None:
        """One model; an error that is its own leaves it out until it is gone."""
        try:
            seen = await one.look(whole=whole)
            table = await self._tables.table(one.name)
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self._failed(one, error)
            return
        one.trouble = ""
        self._news += [(one, found) for found in seen.news]
        # With the table that they went from, since it may be refused by the time they are told.
        self._gone += [(one, table, key) for key in seen.gone]
        self._stale += seen.stale

    def _failed(self, one: ModelPoller, error: Exception) -> None:
        one.trouble, one.wanted = str(error), True
        self._tables.forget(one.name)
        self._all_in_trouble()

    def _all_in_trouble(self, *, first: bool = False) -> None:
        """Raises if it is so: at the first start that's the configuration."""
        troubles = [one.trouble for one in self._watched.values()]
        check_any_readable(troubles, by_configuration=first)

    # -- what is told ------------------------------------------------------------------------

    async def _batch(self, limit: int) -> Batch:
        """The next changes of what the last poll found: rows first, then deletions, then marks."""
        changes: list[Change] = []
        while self._news and len(changes) < limit:
            changes += await self._rows(limit - len(changes))
        while self._gone and len(changes) < limit:
            one, table, key = self._gone.popleft()
            one.tell_gone(key)
            changes.append(Change(table.shape, DELETE, table.gone(key), False, None, 0, UNTIMED))
        watermarks: list[Watermark] = []
        if not self._news and not self._gone:
            self._looks = self._polls
            watermarks = self._watermarks.take(len(changes))
        stale, self._stale = self._stale, []
        if changes or stale:
            if not self._gone:
                for one in self._watched.values():
                    one.settle()
            self._packed = self._pack()
        troubles = {name: one.trouble for name, one in self._watched.items() if one.trouble}
        return Batch(
            changes,
            self._packed,
            0,
            watermarks,
            stale=stale,
            troubles=troubles,
            looks=self._looks,
        )

    async def _rows(self, limit: int) -> list[Change]:
        """The next rows of one model, read as they are now."""
        one, some = self._news[0][0], list[ChangedRow]()
        for watched, found in self._news:
            if watched is not one or len(some) >= min(limit, self._options.page):
                break
            some.append(found)
        try:
            table = await self._tables.table(one.name)
            rows = await self._look.rows(table, [found.row.id for found in some])
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            # They are found again: as long as they aren't told, no look begins behind them.
            self._news = deque(item for item in self._news if item[0] is not one)
            self._failed(one, error)
            return []
        changes = []
        for found in some:
            self._news.popleft()
            # Who was deleted meanwhile is missing among the ids, if it was told before.
            stamp, raw = rows.get(found.row.id, (None, None))
            one.tell(found, stamp)
            if stamp is not None:
                transaction = UNTIMED._replace(committed_at=stamp.at or None)
                op = CREATE if found.new else UPDATE
                changes.append(Change(table.shape, op, None, False, raw, 0, transaction))
        one.prune()
        return changes

    def _pack(self) -> Checkpoint:
        models = {name: saved for name, one in self._watched.items() if (saved := one.saved())}
        if self._trail.saved is not None:
            models[DELETION_LOG_MODEL] = self._trail.saved
        return pack(models)


@contextmanager
def _perhaps_passing(*, known: bool) -> Iterator[None]:
    """`known`: the ERP was there before, so that where something else answers now it is away."""
    try:
        yield
    except UserRefused:
        raise
    except NoSession as error:
        if not known:
            raise
        raise RetryLater(str(error)) from error
