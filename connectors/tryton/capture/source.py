"""Captures changes of models by polling: rows by their times, deletions by the ids that are left."""

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
    SourceTransaction,
    Stale,
    System,
    Watermark,
)
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from connectors.erp.pending_watermarks import PendingWatermarks
from connectors.erp.readability import check_any_readable
from connectors.tryton.capture.checkpoint import pack, unpack
from connectors.tryton.capture.deletion_log import DeletionLog
from connectors.tryton.capture.model_poller import ChangedRow, ModelPoller
from connectors.tryton.capture.poll import DELETION_LOG_MODEL, PollQueries
from connectors.tryton.capture.recent_changes import MICROS_PER_SECOND
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import NoSession, UserRefused
from connectors.tryton.metadata.model_table import ModelTable, ModelTables

NO_TRANSACTION = SourceTransaction(None, 0, None)


class TrytonSource:
    """`bridge.connector.Source` by polling. When `ir.model.log` has a deletion, and every `reconcile`
    seconds, the existing ids are compared with those that existed before. A model that can't be read for
    now is left out (`Batch.troubles`) and tried again with each poll of the whole overlap. `read` raises
    RetryLater only if no model can be read, or if something other than the ERP answers;
    ConfigurationError for a refused login.
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
        self._queries = PollQueries(self._client)
        self._options = self._client.options
        self._overlap = int(self._options.overlap * MICROS_PER_SECOND)
        self._monotonic, self._clock = monotonic, clock
        self._pollers: dict[str, ModelPoller] = {}
        self._deletion_log = DeletionLog(self._client, self._queries, self._overlap, None)
        #: What the last poll read, and wasn't emitted yet: rows, then deletions.
        self._changed: deque[tuple[ModelPoller, ChangedRow]] = deque()
        self._deleted: deque[tuple[ModelPoller, ModelTable, int]] = deque()
        self._stale: list[Stale] = []
        self._watermarks = PendingWatermarks()
        self._next_poll = self._next_complete_poll = 0.0
        self._packed = b""
        #: Number of polls; number of those that are completely emitted.
        self._polls = self._emitted_polls = 0

    # -- the port ----------------------------------------------------------------------------

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`."""
        with _away_if_opened_before(opened_before=after is not None):
            return await self._open(after)

    async def _open(self, after: Checkpoint | None) -> Checkpoint:
        states = {} if after is None else unpack(after, f"capture of {self._system.name!r}")
        # Without concurrent calls: after a few wrong passwords Tryton makes a user wait.
        await self._client.log_in()
        self._deletion_log = DeletionLog(
            self._client, self._queries, self._overlap, states.get(DELETION_LOG_MODEL)
        )
        await self._deletion_log.start()
        for use in self._system.tables:
            name = use.table
            poller = self._pollers[name] = ModelPoller(
                name,
                self._tables,
                self._queries,
                states.get(name),
                options=self._options,
                monotonic=self._monotonic,
                clock=self._clock,
                max_deletes=use.max_deletes,
            )
            try:
                await poller.start(first=after is None)
            except NoSession:
                raise
            except (Rejected, ConfigurationError) as error:
                poller.trouble = str(error)
        self._check_any_readable(first=after is None)
        # What was missed meanwhile isn't emitted yet.
        self._packed = self._pack() if after is None else after
        return self._packed

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`."""
        with _away_if_opened_before(opened_before=True):
            return await self._read(limit, timeout)

    async def _read(self, limit: int, timeout: float) -> Batch:
        until = self._monotonic() + timeout
        while True:
            if not (self._changed or self._deleted) and self._monotonic() >= self._next_poll:
                await self._poll()
            batch = await self._batch(limit)
            left = until - self._monotonic()
            if batch.changes or batch.watermarks or batch.stale or left <= 0:
                return batch
            pause = max(0.0, self._next_poll - self._monotonic())
            await self._watermarks.wait(min(left, pause))

    async def ack(self, upto: Checkpoint) -> None:
        """Does nothing: the ERP keeps no position for the bridge."""

    async def write_watermark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`: it is emitted after what the last poll read."""
        self._watermarks.add(name)

    async def close(self) -> None:
        """End the session."""
        await self._client.close()

    # -- one poll ----------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Read what has changed. The results wait in `_changed`, `_deleted` and `_stale`."""
        complete = self._monotonic() >= self._next_complete_poll
        window = self._overlap if complete else max(self._overlap // 10, 1)
        for name in await self._deletion_log.models_with_deletions(
            self._dependents(), window, complete=complete
        ):
            self._pollers[name].listing_requested = True
        for poller in self._pollers.values():
            if complete or not poller.trouble:
                await self._poll_model(poller, complete=complete)
        self._polls += 1
        after = self._monotonic()
        self._next_poll = after + self._options.poll
        if complete:
            # A clock that was set back is noticed before what it wrote since is older than the overlap.
            overlap = self._options.overlap
            self._next_complete_poll = after + min(self._options.overlap_interval, overlap / 2)

    def _dependents(self) -> Mapping[str, set[str]]:
        """The models whose deletions matter, each with the captured models that may lose rows by them:
        itself, and those that can't exist without it, whose rows are deleted without an entry in the log.
        """
        dependents: dict[str, set[str]] = {}
        for name in self._pollers:
            for model in (name, *self._tables.parents(name)):
                dependents.setdefault(model, set()).add(name)
        return dependents

    async def _poll_model(self, poller: ModelPoller, *, complete: bool) -> None:
        """Poll one model; an error of this model alone leaves it out until the error is gone."""
        try:
            result = await poller.poll(complete=complete)
            table = await self._tables.table(poller.name)
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            self._model_failed(poller, error)
            return
        poller.trouble = ""
        self._changed += [(poller, changed) for changed in result.changed]
        # With the table that they were in, since it may be refused by the time they are emitted.
        self._deleted += [(poller, table, key) for key in result.deleted]
        self._stale += result.stale

    def _model_failed(self, poller: ModelPoller, error: Exception) -> None:
        poller.trouble, poller.listing_requested = str(error), True
        self._tables.forget(poller.name)
        self._check_any_readable()

    def _check_any_readable(self, *, first: bool = False) -> None:
        """Raises if no model can be read: at the first start the configuration is wrong."""
        troubles = [poller.trouble for poller in self._pollers.values()]
        check_any_readable(troubles, by_configuration=first)

    # -- what is emitted ---------------------------------------------------------------------

    async def _batch(self, limit: int) -> Batch:
        """The next changes of what the last poll read: rows first, then deletions, then watermarks."""
        changes: list[Change] = []
        while self._changed and len(changes) < limit:
            changes += await self._rows(limit - len(changes))
        while self._deleted and len(changes) < limit:
            poller, table, key = self._deleted.popleft()
            poller.mark_delete_emitted(key)
            only_key = table.only_id(key)
            changes.append(Change(table.shape, DELETE, only_key, False, None, 0, NO_TRANSACTION))
        watermarks: list[Watermark] = []
        if not self._changed and not self._deleted:
            self._emitted_polls = self._polls
            watermarks = self._watermarks.take(len(changes))
        stale, self._stale = self._stale, []
        if changes or stale:
            if not self._deleted:
                for poller in self._pollers.values():
                    poller.confirm_deletes()
            self._packed = self._pack()
        troubles = {name: poller.trouble for name, poller in self._pollers.items()}
        return Batch(
            changes,
            self._packed,
            0,
            watermarks,
            stale=stale,
            troubles={name: trouble for name, trouble in troubles.items() if trouble},
            polls=self._emitted_polls,
        )

    async def _rows(self, limit: int) -> list[Change]:
        """The next rows of one model, read as they are now."""
        poller, page = self._changed[0][0], list[ChangedRow]()
        for owner, changed in self._changed:
            if owner is not poller or len(page) >= min(limit, self._options.page):
                break
            page.append(changed)
        try:
            table = await self._tables.table(poller.name)
            ids = [changed.stamp.id for changed in page]
            rows = await self._queries.read_rows(table, ids)
        except NoSession:
            raise
        except (Rejected, ConfigurationError) as error:
            # They are read again: as long as they aren't emitted, no poll begins after them.
            self._changed = deque(item for item in self._changed if item[0] is not poller)
            self._model_failed(poller, error)
            return []
        changes = []
        for changed in page:
            self._changed.popleft()
            # One that was deleted meanwhile is missing among the ids, if it was emitted before.
            stamp, raw_row = rows.get(changed.stamp.id, (None, None))
            poller.mark_emitted(changed, stamp)
            if stamp is not None:
                transaction = NO_TRANSACTION._replace(committed_at=stamp.at or None)
                op = CREATE if changed.is_new else UPDATE
                changes.append(Change(table.shape, op, None, False, raw_row, 0, transaction))
        poller.prune()
        return changes

    def _pack(self) -> Checkpoint:
        states = {
            name: state for name, poller in self._pollers.items() if (state := poller.state())
        }
        if self._deletion_log.state is not None:
            states[DELETION_LOG_MODEL] = self._deletion_log.state
        return pack(states)


@contextmanager
def _away_if_opened_before(*, opened_before: bool) -> Iterator[None]:
    """The ERP answered before (`opened_before`), so if something else answers now, it is unavailable."""
    try:
        yield
    except UserRefused:
        raise
    except NoSession as error:
        if not opened_before:
            raise
        raise RetryLater(str(error)) from error
