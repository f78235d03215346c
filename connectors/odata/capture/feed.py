"""One entity set of a source: its poller, its problems, and when it is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bridge.connector import Stale, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import ConfigurationError, Rejected
from connectors.odata.capture.change_detection import choose_change_detection
from connectors.odata.capture.hidden_rows import HiddenRows
from connectors.odata.capture.options import DetectionMethod, ODataOptions
from connectors.odata.capture.pollers.changed import ChangedPoller
from connectors.odata.capture.pollers.delta import DeltaPoller, NoChangeTracking
from connectors.odata.capture.pollers.listing import ListingPoller
from connectors.odata.capture.pollers.poller import Poller, PollerState, RowChange
from connectors.odata.http.errors import is_refusal
from connectors.odata.metadata.model import ODataService
from connectors.odata.paging.page_reader import PageReader
from connectors.odata.protocol.entity_table import EntitySetTable

MAX_REFUSED_WAIT_S = 300.0
"""Maximum seconds between two attempts to read a refused set."""
MAX_AWAY_WAIT_S = 30.0
"""The same for a set that the service couldn't read just now."""
RETRY_AVOIDED_S = 900.0
"""Seconds after which a method that the service ignored is tried again for the first time: the service
may have been corrected.
"""
MAX_RETRY_AVOIDED_S = 86_400.0
RETRY_GROWTH = 4


class FeedPage(NamedTuple):
    """A page of changes, and why the table became stale with it."""

    items: Sequence[RowChange]
    stale: list[Stale]


class EntityFeed:
    """Runs one poller. `trouble` says why there is none, or why it can't read."""

    def __init__(
        self,
        reader: PageReader,
        use: TableUse,
        options: ODataOptions,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.use = use
        self.trouble = ""
        #: Whether the problem is temporary, as far as the service says.
        self.away = False
        #: Whether its metadata may have changed.
        self.needs_metadata = False
        self._reader = reader
        self._options = options
        self._monotonic = monotonic
        self._clock = clock
        self._poller: Poller | None = None
        self._service: ODataService | None = None
        self._more = self._stepped = False
        self._fails = 0
        self._again = 0.0
        #: The state in the checkpoint, while there is no poller; None: no state, so everything is new.
        self._state: PollerState | None = None
        #: Time of the last comparison with the log, in seconds since 1970.
        self._compared = clock()
        #: Methods tried without success: delta links were announced and none was returned; the service
        #: ignores the method's options.
        self._avoided: set[DetectionMethod] = set()
        self._avoided_why = ""
        self._retry_wait_s = RETRY_AVOIDED_S
        self._retry_at = 0.0
        self._hidden = HiddenRows(reader, use, options, monotonic)

    @property
    def table(self) -> EntitySetTable:
        """The table of the poller."""
        assert self._poller is not None, "a feed that was stepped has a poller"  # noqa: S101
        return self._poller.table

    @property
    def remark(self) -> str:
        """Why its capture is slower or costs more than it could; empty: it doesn't."""
        remarks = []
        if "changed" in self._avoided:
            why = f" ({self._avoided_why})" if self._avoided_why else ""
            remarks.append(
                f"all of its rows are read at each poll, because they can't be filtered by their "
                f"time{why}; that is tried again from time to time"
            )
        if self._hidden:
            remarks.append(
                f"listing its rows leaves out {len(self._hidden)} that the service returns when they are "
                "asked for one by one; they are asked for at growing intervals"
            )
        return "; ".join(remarks)

    # -- beginning -------------------------------------------------------------------------

    async def begin(self, service: ODataService, state: PollerState | None) -> str:
        """Begin now, or resume from `state`. Returns why the table is stale already, or "".

        Raises ConfigurationError, Rejected (this set can't be read), RetryLater.
        """
        self._service, self._state, self.needs_metadata = service, state, True
        self._hidden.clear()
        if state is not None:
            self._compared = state["compared"]
            self._avoided = {*state.get("avoided", ()), *(("delta",) if state["vain"] else ())}
            self._retry_at = self._monotonic() + self._retry_wait_s
        poller, table_stale = await self._choose_poller(service), ""
        if state is not None and state["means"] == poller.name and state["state"] is not None:
            poller.restore(state["state"])
        else:
            poller = await self._begin_poller(service, poller)
            table_stale = _why_stale(state, poller.name)
        self._poller, self._state, self._more = poller, None, False
        self.needs_metadata = False
        return table_stale

    async def _choose_poller(self, service: ODataService) -> Poller:
        chosen = await choose_change_detection(
            self._reader, service, self.use, self._options, except_methods=self._avoided
        )
        return chosen.poller(self._reader, self._options, self._monotonic)

    async def _begin_poller(self, service: ODataService, poller: Poller) -> Poller:
        try:
            await poller.begin()
        except NoChangeTracking:
            if self._options.of(self.use.table).change_detection == "delta":
                raise ConfigurationError(
                    f"entity set {self.use.table!r}: the service returns no delta link; set another "
                    "`change_detection:` for it under capture.sets"
                ) from None
            self._avoided.add("delta")
            return await self._begin_poller(service, await self._choose_poller(service))
        except Rejected as error:
            # Options that are refused or ignored here may not be needed by another method.
            heeded = not isinstance(error, AnswerMismatch) and not is_refusal(error)
            if heeded or not self._avoids(poller, error):
                raise
            return await self._begin_poller(service, await self._choose_poller(service))
        return poller

    def _avoids(self, poller: Poller, error: Rejected) -> bool:
        """Whether another method is used from now on, because the service ignores this one's options."""
        if (
            poller.name != "changed"
            or self._options.of(self.use.table).change_detection is not None
        ):
            return False
        self._avoided.add("changed")
        self._avoided_why = str(error)
        self._retry_at = self._monotonic() + self._retry_wait_s
        return True

    async def _try_avoided(self, service: ODataService) -> FeedPage | None:
        """Try a method again that the service ignored: what changes, or None if it is still ignored. The
        intervals between attempts grow.
        """
        self._retry_wait_s = min(self._retry_wait_s * RETRY_GROWTH, MAX_RETRY_AVOIDED_S)
        self._retry_at = self._monotonic() + self._retry_wait_s
        avoided = self._avoided - {"changed"}
        chosen = await choose_change_detection(
            self._reader, service, self.use, self._options, except_methods=avoided
        )
        poller = chosen.poller(self._reader, self._options, self._monotonic)
        if not isinstance(poller, ChangedPoller):
            return None
        try:
            await poller.try_questions()
            await poller.begin()
        except Rejected as error:
            self._avoided_why = str(error)
            return None
        self._avoided.discard("changed")
        self._avoided_why = ""
        self._hidden.clear()
        self._poller, self._more = poller, False
        return FeedPage([], self._recovered("its changes are noticed by changed from now on"))

    # -- polling ---------------------------------------------------------------------------

    def due(self, now: float) -> bool:
        """Whether it is polled in a round that begins now."""
        return not self.trouble or now >= self._again

    async def next_page(self, service: ODataService | None = None) -> FeedPage:
        """The next page of the poll under way, or of a new one. Raises as `begin`. `service`: the
        metadata, if they were read again.
        """
        if self._poller is None:
            service = service or self._service
            assert service is not None, "a feed is begun first"  # noqa: S101
            state, why = self._state, await self.begin(service, self._state)
            why = why or ("" if state else "it could not be read until now")
            return FeedPage([], self._recovered(why))
        service = service or self._service
        retries = "changed" in self._avoided and not self._more
        if retries and service is not None and self._monotonic() >= self._retry_at:
            feed_page = await self._try_avoided(service)
            if feed_page is not None:
                return feed_page
        try:
            poll_page = await self._poller.next_page()
        except AnswerMismatch as error:
            if self._avoids(self._poller, error):
                # Its results are discarded: the set is compared with the log.
                self._poller, self._state = None, None
            raise
        items, doubt = poll_page.items, ""
        if isinstance(self._poller, ListingPoller):
            items, doubt = await self._hidden.confirm(self._poller, items, more=poll_page.more)
        self._stepped = True
        self._more = poll_page.more
        stale = self._recovered(poll_page.stale or doubt)
        if not poll_page.more:
            stale += await self._compare()
        return FeedPage(items, stale)

    def emitted(self, item: RowChange) -> None:
        """A change of the last page was emitted."""
        if self._poller is not None:
            self._poller.emitted(item)

    def end_page(self) -> bool:
        """All changes of the last page were emitted. Returns whether the poll continues."""
        if self._poller is None or not self._stepped:
            return False
        self._stepped = False
        self._poller.end_page()
        return self._more

    def failed(self, why: str, *, away: bool = False, after: float | None = None) -> None:
        """It can't be read, and is tried again at growing intervals. `away`: the cause is temporary; not
        before `after` seconds.
        """
        self.trouble, self.away = why, away
        longest = max(MAX_AWAY_WAIT_S if away else MAX_REFUSED_WAIT_S, self._options.poll)
        wait = min(self._options.poll * 2**self._fails, longest)
        self._again = self._monotonic() + max(wait, after or 0.0)
        self._fails = min(self._fails + 1, 30)

    def _recovered(self, why: str = "") -> list[Stale]:
        """It was read. If it was refused before, comparisons with the log may have been refused and given
        up, too: so it is compared now.
        """
        if self.trouble and not self.away:
            why = why or f"it can be read again ({self.trouble})"
        self.trouble, self.away, self._fails = "", False, 0
        return [Stale((self.use.table,), why)] if why else []

    # -- what polls don't show -------------------------------------------------------------

    async def _compare(self) -> list[Stale]:
        """At an interval, a comparison with the log finds what the poller can't see. A listing knows only
        the rows that it has listed: a row that a snapshot read, and that was deleted before the next
        listing, is only in the log.
        """
        poller, now = self._poller, self._clock()
        if poller is None or isinstance(poller, DeltaPoller):
            return []
        if now - self._compared < self._options.reconcile:
            return []
        why, whole = "the service reports no deletions", False
        if isinstance(poller, ListingPoller):
            whole = not poller.whole
            why = "rows that a snapshot read may have gone before they were listed"
            if whole:
                why = f"more than {self._options.max_listed_rows} rows, and no way to filter by the time of change"
        elif isinstance(poller, ChangedPoller) and await poller.has_rows_without_timestamp():
            whole, why = True, f"{why}, and some rows carry no time of change"
        self._compared = now
        return [Stale((self.use.table,), why, deletes_only=not whole)]

    def saved(self, marks: int) -> PollerState:
        """The resume state."""
        feed_state: PollerState = {
            "means": "",
            "state": None,
            "compared": self._compared,
            "vain": "delta" in self._avoided,
            "avoided": sorted(self._avoided),
        }
        if self._poller is None:
            return self._state or feed_state
        state = self._poller.saved(marks)
        if self._poller.name == "listing" and state["rows"] is None:
            return feed_state | {"means": "listing"}
        return feed_state | {"means": self._poller.name, "state": state}


def _why_stale(state: PollerState | None, means: str) -> str:
    """Why a table of which changes were emitted has to be compared with the log."""
    if state is None:
        return ""
    if not state["means"]:
        return "it could not be read until now"
    if state["means"] == means:
        return "its rows are not remembered over a restart: too many"
    return f"its changes are noticed by {means} from now on, not by {state['means']}"
