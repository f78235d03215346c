"""One entity set of a source: its way of noticing changes, its troubles, when it is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bridge.connector import Stale, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import ConfigurationError, Rejected
from connectors.odata.changed import ChangedPoller
from connectors.odata.delta import DeltaPoller, NoTracking
from connectors.odata.keyset_pages import refuses
from connectors.odata.listing import ListingPoller
from connectors.odata.means import choose
from connectors.odata.model import Service
from connectors.odata.options import Means, Options
from connectors.odata.polling import Asks, Item, Poller, State
from connectors.odata.presence import MAX_KEYS_PER_PAGE, present_keys
from connectors.odata.table import Row, Table

LONGEST_WAIT = 300.0
"""Seconds after which a set that is refused is asked again at the latest."""
LONGEST_AWAY = 30.0
"""The same of one that the service couldn't read just now."""


class Found(NamedTuple):
    """A page of changes, and what became stale with it."""

    items: Sequence[Item]
    stale: list[Stale]


class Feed:
    """Keeps one poller going. `trouble` says why there is none, or why it can't be asked."""

    def __init__(
        self,
        asks: Asks,
        use: TableUse,
        options: Options,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.use = use
        self.trouble = ""
        #: The trouble is one that passes, as far as the service tells.
        self.away = False
        #: Its metadata may tell something else by now.
        self.lacking = False
        self._asks = asks
        self._options = options
        self._monotonic = monotonic
        self._clock = clock
        self._poller: Poller | None = None
        self._service: Service | None = None
        self._more = self._stepped = False
        self._fails = 0
        self._again = 0.0
        #: What the checkpoint said while there is no poller; None: nothing, so all is new.
        self._state: State | None = None
        #: When it was compared with the log last, in seconds since 1970.
        self._compared = clock()
        #: Ways that were tried in vain: delta links were announced and none was given; the service
        #: doesn't heed what the way asks.
        self._avoided: set[Means] = set()

    @property
    def table(self) -> Table:
        """The table of the poller."""
        assert self._poller is not None, "a feed that was stepped has a poller"  # noqa: S101
        return self._poller.table

    # -- beginning -------------------------------------------------------------------------

    async def begin(self, service: Service, state: State | None) -> str:
        """From now on, or from `state`. Returns why the table is stale already, or "".

        Raises ConfigurationError, Rejected (this set can't be read), RetryLater.
        """
        self._service, self._state, self.lacking = service, state, True
        if state is not None:
            self._compared = state["compared"]
            self._avoided = {*state.get("avoided", ()), *(("delta",) if state["vain"] else ())}
        poller, table_stale = await self._made(service), ""
        if state is not None and state["means"] == poller.name and state["state"] is not None:
            poller.restore(state["state"])
        else:
            poller = await self._begun(service, poller)
            table_stale = _why_stale(state, poller.name)
        self._poller, self._state, self._more = poller, None, False
        self.lacking = False
        return table_stale

    async def _made(self, service: Service) -> Poller:
        chosen = await choose(self._asks, service, self.use, self._options, but=self._avoided)
        return chosen.poller(self._asks, self._options, self._monotonic)

    async def _begun(self, service: Service, poller: Poller) -> Poller:
        try:
            await poller.begin()
        except NoTracking:
            if self._options.of(self.use.table).means == "delta":
                raise ConfigurationError(
                    f"entity set {self.use.table!r}: the service gives no delta link; say another "
                    "`means:` for it under capture.sets"
                ) from None
            self._avoided.add("delta")
            return await self._begun(service, await self._made(service))
        except AnswerMismatch:
            if not self._avoids(poller):
                raise
            return await self._begun(service, await self._made(service))
        except Rejected as error:
            # What is refused of one way may not be asked by another one.
            if not refuses(error) or not self._avoids(poller):
                raise
            return await self._begun(service, await self._made(service))
        return poller

    def _avoids(self, poller: Poller) -> bool:
        """Whether another way is taken from now on, because the service doesn't heed what this asks."""
        if poller.name != "changed" or self._options.of(self.use.table).means is not None:
            return False
        self._avoided.add("changed")
        return True

    # -- polling ---------------------------------------------------------------------------

    def due(self, now: float) -> bool:
        """Whether it takes part in a round that begins now."""
        return not self.trouble or now >= self._again

    async def step(self, service: Service | None = None) -> Found:
        """The next page, of the poll under way or of a new one. Raises as `begin`. `service`: what
        the metadata says by now, where it was read again.
        """
        if self._poller is None:
            service = service or self._service
            assert service is not None, "a feed is begun first"  # noqa: S101
            state, why = self._state, await self.begin(service, self._state)
            why = why or ("" if state else "it could not be read until now")
            return Found([], self._well(why))
        try:
            step = await self._poller.step()
        except AnswerMismatch:
            if self._avoids(self._poller):
                # What was told by it counts for nothing: the set is compared with the log.
                self._poller, self._state = None, None
            raise
        items, doubt = step.items, ""
        if isinstance(self._poller, ListingPoller):
            items, doubt = await self._confirmed(self._poller, items)
        self._stepped = True
        self._more = step.more
        stale = self._well(step.stale or doubt)
        if not step.more:
            stale += await self._compare()
        return Found(items, stale)

    async def _confirmed(self, poller: ListingPoller, items: list[Item]) -> tuple[list[Item], str]:
        """Without deletes of rows that the service has, when it is asked for them by key. What it
        doesn't say, and more of them than are plausible, is left to a comparison with the log:
        then also why.
        """
        gone = [item for item in items if item.row is None]
        if not gone:
            return items, ""
        present: set[Row] | None = None
        implausible = self.use.max_deletes.exceeded(len(gone), poller.size)
        if len(gone) <= MAX_KEYS_PER_PAGE and not implausible:
            present = await present_keys(self._asks, poller.table, [item.key for item in gone])
        if present is None:
            for item in gone:
                poller.took(item)
            kept = [item for item in items if item.row is not None]
            return kept, f"a listing doesn't show {len(gone)} of {poller.size + len(gone)} rows"
        # One that is there stays remembered: the next listing tells.
        return [item for item in items if item.row is not None or item.key not in present], ""

    def took(self, item: Item) -> None:
        """An item of the last page was handed on."""
        if self._poller is not None:
            self._poller.took(item)

    def turn(self) -> bool:
        """The last page was handed on whole. Returns whether the poll goes on."""
        if self._poller is None or not self._stepped:
            return False
        self._stepped = False
        self._poller.turn()
        return self._more

    def failed(self, why: str, *, away: bool = False, after: float | None = None) -> None:
        """It can't be read; it is asked again later, ever more seldom. `away`: by what passes, in
        `after` seconds at the earliest.
        """
        self.trouble, self.away = why, away
        longest = max(LONGEST_AWAY if away else LONGEST_WAIT, self._options.poll)
        wait = min(self._options.poll * 2**self._fails, longest)
        self._again = self._monotonic() + max(wait, after or 0.0)
        self._fails = min(self._fails + 1, 30)

    def _well(self, why: str = "") -> list[Stale]:
        """It was read. Where it had been refused, reads of it for a comparison with the log were
        perhaps refused too, and given up: so it is compared now.
        """
        if self.trouble and not self.away:
            why = why or f"it can be read again ({self.trouble})"
        self.trouble, self.away, self._fails = "", False, 0
        return [Stale((self.use.table,), why)] if why else []

    # -- what polls don't tell -------------------------------------------------------------

    async def _compare(self) -> list[Stale]:
        """At an interval, what the poller can't tell is left to a comparison with the log.

        A listing knows what it has met itself. A row that a snapshot read, and that was gone before
        the next listing, is in the log alone.
        """
        poller, now = self._poller, self._clock()
        if poller is None or isinstance(poller, DeltaPoller):
            return []
        if now - self._compared < self._options.reconcile:
            return []
        why, whole = "the service tells no deletions", False
        if isinstance(poller, ListingPoller):
            whole = not poller.whole
            why = "rows that a snapshot read may have gone before they were listed"
            if whole:
                why = f"more than {self._options.listing} rows, and no way to ask what changed"
        elif isinstance(poller, ChangedPoller) and await poller.blind():
            whole, why = True, f"{why}, and some rows carry no time of change"
        self._compared = now
        return [Stale((self.use.table,), why, deletes_only=not whole)]

    def saved(self, marks: int) -> State:
        """The resume state."""
        found: State = {
            "means": "",
            "state": None,
            "compared": self._compared,
            "vain": "delta" in self._avoided,
            "avoided": sorted(self._avoided),
        }
        if self._poller is None:
            return self._state or found
        state = self._poller.saved(marks)
        if self._poller.name == "listing" and state["rows"] is None:
            return found | {"means": "listing"}
        return found | {"means": self._poller.name, "state": state}


def _why_stale(state: State | None, means: str) -> str:
    """Why a table of which something was told already has to be compared with the log."""
    if state is None:
        return ""
    if not state["means"]:
        return "it could not be read until now"
    if state["means"] == means:
        return "what was told of it is not remembered over a restart: too many rows"
    return f"its changes are noticed by {means} from now on, not by {state['means']}"
