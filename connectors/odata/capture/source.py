"""Captures changes of entity sets by polling them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bridge.connector import Batch, Change, Checkpoint, SourceTransaction, Stale, System, Watermark
from bridge.model.errors import BridgeError, ConfigurationError, HistoryLost, Rejected, RetryLater
from connectors.erp.pending_watermarks import PendingWatermarks
from connectors.erp.readability import check_any_readable
from connectors.odata.capture import checkpoint
from connectors.odata.capture.feed import EntityFeed
from connectors.odata.capture.options import ODataOptions, options_of
from connectors.odata.capture.pollers.poller import PollerState, RowChange
from connectors.odata.http.client import ODataClient
from connectors.odata.metadata.model import ODataService

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TRANSACTION = SourceTransaction(None, 0, None)


class ODataSource:
    """`bridge.connector.Source`. Entity sets are polled one after the other, page by page. A set that
    can't be read is left out and tried again at growing intervals; the others continue
    (`Batch.troubles`). `read` raises RetryLater only if no set can be read. If the service sends
    `Retry-After`, no set is polled before that time.
    """

    def __init__(
        self,
        system: System,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._system = system
        self._options: ODataOptions = options_of(system.options)
        self._client = ODataClient(system)
        self._monotonic = monotonic
        self._clock = clock
        self._feeds: list[EntityFeed] = []
        #: Feeds whose poll of this round is still to come; the one under way.
        self._round: deque[EntityFeed] = deque()
        self._active: EntityFeed | None = None
        self._due = 0.0
        #: Until when `Retry-After` forbids requests; when the service answered last.
        self._held = 0.0
        self._heard = 0.0
        self._items: deque[RowChange] = deque()
        self._watermarks = PendingWatermarks()
        self._stale: list[Stale] = []
        self._packed: Checkpoint | None = None
        #: Rounds that were begun; those that were emitted whole.
        self._rounds = self._looks = 0

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """As `bridge.connector.Source.open`. The first time, sets with delta links are read completely."""
        states = None if after is None else checkpoint.unpack(after)
        service = await self._metadata(was_read_before=after is not None)
        self._heard = self._monotonic()
        self._feeds = [
            EntityFeed(self._client, use, self._options, self._monotonic, self._clock)
            for use in self._system.tables
        ]
        for feed in self._feeds:
            await self._begin(feed, service, states)
        self._some_left(first=after is None)
        return self._checkpoint()

    async def _metadata(self, *, was_read_before: bool) -> ODataService:
        """`was_read_before`: the service answered before, so that no answer now means that it is
        unavailable.
        """
        try:
            return await self._client.metadata()
        except ConfigurationError as error:
            cause = error.__cause__
            if was_read_before and isinstance(cause, Rejected) and cause.code == "not_found":
                raise RetryLater(str(error)) from error
            raise

    async def _begin(
        self, feed: EntityFeed, service: ODataService, states: dict[str, PollerState] | None
    ) -> None:
        state = (states or {}).get(feed.use.table)
        try:
            why = await feed.begin(service, state)
        except BridgeError as error:
            self._failed(feed, error)
            return
        if why:
            self._stale.append(Stale((feed.use.table,), why))

    def _some_left(self, *, first: bool = False) -> None:
        """Raises if no entity set can be read: at the first start the configuration is wrong."""
        held = self._held - self._monotonic()
        check_any_readable(
            [feed.trouble for feed in self._feeds],
            by_configuration=first and not any(feed.away for feed in self._feeds),
            after=held if held > 0 else None,
        )

    async def read(self, limit: int, timeout: float) -> Batch:
        """As `bridge.connector.Source.read`."""
        until = self._monotonic() + timeout
        while True:
            if self._items:
                return self._batch(limit)
            if (self._watermarks and self._active is None) or self._stale:
                return self._batch(limit)
            now = self._monotonic()
            due = self._held if self._active or self._round else max(self._due, self._held)
            if now < due:
                if now >= until:
                    return self._batch(limit)
                await self._watermarks.wait(min(due, until) - now)
                continue
            if self._active is None and not self._round:
                self._round.extend(feed for feed in self._feeds if feed.due(now))
                self._due = now + self._options.poll
                self._rounds += 1
            await self._step()
            if not self._items and self._monotonic() >= until:
                return self._batch(limit)

    async def _step(self) -> None:
        """The next page of the feed under way, or of the next one."""
        if self._active is None:
            if not self._round:
                return
            self._active = self._round.popleft()
        feed = self._active
        try:
            service = await self._client.refresh_metadata() if feed.needs_metadata else None
            feed_page = await feed.next_page(service)
        except BridgeError as error:
            self._failed(feed, error)
            self._active = None
            self._some_left()
            return
        self._heard = self._monotonic()
        self._stale += feed_page.stale
        self._items.extend(feed_page.items)
        if not self._items:
            self._turn()

    def _failed(self, feed: EntityFeed, error: BridgeError) -> None:
        """One feed can't be read. A service that fails temporarily (a 500) counts as unavailable."""
        if isinstance(error, RetryLater):
            if error.after is not None:
                self._held = max(self._held, self._monotonic() + error.after)
            feed.failed(str(error), away=True, after=error.after)
        elif isinstance(error, HistoryLost):
            # A link to a further page expired; the poller begins again.
            feed.failed(str(error), away=True)
        elif isinstance(error, Rejected):
            feed.failed(str(error), away=error.code == "legacy_error")
        elif isinstance(error, ConfigurationError):
            feed.failed(str(error))
        else:
            raise error

    def _turn(self) -> None:
        feed = self._active
        assert feed is not None, "a page has a feed"  # noqa: S101
        self._packed = None
        if not feed.end_page():
            self._active = None

    # -- what was read ---------------------------------------------------------------------

    def _batch(self, limit: int) -> Batch:
        changes: list[Change] = []
        feed = self._active
        while self._items and len(changes) < limit and feed is not None:
            item = self._items.popleft()
            changes.append(_change(feed, item))
            feed.emitted(item)
        if changes:
            self._packed = None
            if not self._items:
                self._turn()
        watermarks: list[Watermark] = []
        if self._active is None and not self._items:
            watermarks = self._watermarks.take(len(changes))
        # At once, even before the rest of a page: the checkpoint says that they were reported.
        stale, self._stale = self._stale, []
        if not (self._active or self._round or self._items):
            # An unavailable set is polled once it is back.
            self._looks = (
                self._rounds if not any(feed.away for feed in self._feeds) else self._looks
            )
        now = self._monotonic()
        return Batch(
            changes,
            self._checkpoint(),
            0,
            watermarks,
            stale=stale,
            silent=now - self._heard if now < self._held else 0.0,
            polls=self._looks,
            troubles={feed.use.table: feed.trouble for feed in self._feeds if feed.trouble},
            remarks={feed.use.table: feed.remark for feed in self._feeds if feed.remark},
        )

    def _checkpoint(self) -> Checkpoint:
        if self._packed is None:
            self._packed = checkpoint.pack(
                lambda marks: {feed.use.table: feed.saved(marks) for feed in self._feeds},
                len(self._feeds),
            )
        return self._packed

    async def ack(self, upto: Checkpoint) -> None:
        """As `bridge.connector.Source.ack`: the service keeps nothing for us."""

    async def write_watermark(self, name: str) -> None:
        """As `bridge.connector.Source.mark`."""
        self._watermarks.add(name)

    async def close(self) -> None:
        """As `bridge.connector.Source.close`."""
        await self._client.close()


def _change(feed: EntityFeed, item: RowChange) -> Change:
    transaction = NO_TRANSACTION
    if item.at is not None:
        transaction = SourceTransaction(None, 0, (item.at - _EPOCH) // timedelta(microseconds=1))
    table = feed.table
    old = table.only_key(item.key) if item.row is None else None
    return Change(table.shape, item.op, old, False, item.row, 0, transaction)
