"""One model of a source: what is new in it, what is gone, and why it can't be read."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.connector import Stale
from bridge.model.delete_limit import DEFAULT_LIMIT, DeleteLimit
from connectors.tryton.capture.checkpoint import ModelState
from connectors.tryton.capture.id_gaps import MAX_GAPS, IdGaps
from connectors.tryton.capture.id_set import IdFingerprint, IdSet, fingerprint
from connectors.tryton.capture.poll import Poll
from connectors.tryton.capture.recent_changes import MICROS_PER_SECOND, RecentChanges, RowStamp
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.options import TrytonOptions

LISTING_SHARE = 20
"""Ids are listed for at most one part in so many of the time."""
CLOCK_SLACK = 2 * MICROS_PER_SECOND
"""The ERP tells its time in whole seconds."""


class ChangedRow(NamedTuple):
    """A row that is news: as it was seen, whether it was never told, and up to when the look reaches
    that saw it: only one at the whole overlap does.
    """

    row: RowStamp
    new: bool
    reach: int = 0


@dataclass(slots=True)
class PollResult:
    """What a look found: rows to be read and told, ids of rows that are gone, and what can't be
    told row by row.
    """

    news: list[ChangedRow] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)


class ModelPoller:
    """A model. `trouble` says why it can't be read for now; `wanted` that its ids are to be listed
    soon.
    """

    def __init__(
        self,
        name: str,
        tables: ModelTables,
        look: Poll,
        saved: ModelState | None,
        *,
        options: TrytonOptions,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        max_deletes: DeleteLimit = DEFAULT_LIMIT,
    ) -> None:
        self.name = name
        self._max_deletes = max_deletes
        self.trouble = ""
        self.wanted = False
        self._tables = tables
        self._look = look
        self._overlap = int(options.overlap * MICROS_PER_SECOND)
        self._page = options.page
        self._interval = options.reconcile
        self._monotonic, self._clock = monotonic, clock
        self._saved = saved
        self._recent = saved.recent if saved else RecentChanges()
        self._known: IdSet | None = None
        self._print: IdFingerprint | None = saved.known if saved else None
        self._gaps: IdGaps | None = saved.gaps if saved else None
        self._reconciled = self._again = 0.0
        self._listed_at = self._took = 0.0
        #: Until a look succeeds, which tells it.
        self._stale: list[Stale] = []

    # -- the checkpoint ----------------------------------------------------------------------

    def saved(self) -> ModelState | None:
        """For the checkpoint; nothing of a model that was never read. As long as it isn't told that
        the model has to be compared, the last state of which that is not so.
        """
        if self._known is None or self._stale:
            return self._saved
        return ModelState(self._recent, self._print, self._reconciled, self._again, self._gaps)

    def settle(self) -> None:
        """All deletes that were found are told. Not before: after a restart the ids alone tell of
        those that weren't.
        """
        if self._known is not None:
            self._print, self._gaps = self._known.print, self._known.gaps.newest(MAX_GAPS)

    # -- looking -----------------------------------------------------------------------------

    async def begin(self, *, first: bool) -> None:
        """Begin now, or where the checkpoint says."""
        await self._tables.table(self.name)
        saved, recent = self._saved, self._recent
        if saved is None:
            recent = RecentChanges(await self._look.newest(self.name))
            rows, _ = await self._look.window(self.name, recent.begin(self._overlap))
            if len(rows) > self._look.most:
                self._leap(recent, rows)
            else:
                recent.since = recent.begin(self._overlap)
                for row in rows:
                    recent.tell(row)
        listed = await self._list()
        if saved is None and not first:
            self._compare("it is captured from now on")
        if saved is not None and saved.known is not None:
            self._again = saved.again
            # Those above are still to be told, and those that came late among the others.
            old = listed[: bisect_right(listed, saved.known.last)]
            if saved.gaps is not None:
                old = array("q", [key for key in old if key not in saved.gaps.ids])
            # Some of them may be older than any look reaches.
            self.wanted = len(old) < len(listed)
            listed = old
            if fingerprint(listed, saved.known.last) != saved.known:
                self._compare("rows went while nobody looked", deletes_only=True)
        self._recent, self._known = recent, IdSet(listed)
        if saved is None:
            self.settle()

    async def look(self, *, whole: bool) -> PollResult:
        """At the whole overlap, or its last tenth."""
        seen = PollResult()
        if self._known is None:
            await self.begin(first=False)
        table, recent = await self._tables.table(self.name), self._recent
        now = self._look.now
        if whole and now is not None and recent.at > now + CLOCK_SLACK:
            recent.turn_back(now, self._overlap)
        window = self._overlap if whole else max(self._overlap // 10, 1)
        rows, at_once = await self._look.window(self.name, recent.begin(window))
        if len(rows) > self._look.most:
            self._leap(recent, rows)
            await self._begin_anew(seen, f"more than {self._look.most} rows changed at once")
        else:
            upto = recent.saw(rows, at_once=at_once)
            seen.news = [
                ChangedRow(row, recent.is_new(row, self._overlap), upto if whole else 0)
                for row in recent.news(rows)
            ]
        if 0 < self._again <= self._clock():
            # Transactions that were under way when it was compared have ended.
            self._again = 0.0
            self._compare("rows came late amid very many others")
        if self._listing_is_due():
            await self._compare_ids(table, seen)
        seen.stale, self._stale = self._stale, []
        return seen

    def _leap(self, recent: RecentChanges, rows: list[RowStamp]) -> None:
        recent.leap(max(row.at for row in rows))
        self._again = self._clock() + self._overlap / MICROS_PER_SECOND

    async def _begin_anew(self, seen: PollResult, reason: str) -> None:
        """Give up on single rows: what is there now, and what went, is for the comparison."""
        seen.news, seen.gone = [], []
        self._compare(reason)
        self._known = IdSet(await self._list())

    def _compare(self, reason: str, *, deletes_only: bool = False) -> None:
        self._stale.append(Stale((self.name,), reason, deletes_only, once=deletes_only))

    # -- ids ---------------------------------------------------------------------------------

    def _listing_is_due(self) -> bool:
        if self._clock() - self._reconciled >= self._interval:
            self.wanted = True
        rested = self._monotonic() >= self._listed_at + self._took * LISTING_SHARE
        return self.wanted and rested

    async def _compare_ids(self, table: ModelTable, seen: PollResult) -> None:
        """What is gone since the ids were listed last; and what came and has an older time than
        any look reaches: a long transaction's, or restored from history.
        """
        if self._known is None:
            return
        gone, come = self._known.compare(await self._list())
        if len(come) > self._look.most:
            await self._begin_anew(seen, f"more than {self._look.most} rows came at once")
            return
        if table.key == (ID,):
            seen.gone = await self._confirmed(gone)
        elif gone:
            # Only the log knows their keys.
            self._compare("rows were deleted", deletes_only=True)
        known = {found.row.id for found in seen.news}
        for key in come:
            if key in self._recent.told:
                # Told just before a restart, and deletes that were found with it were not.
                self._known.add(key)
                known.add(key)
        seen.news += [ChangedRow(RowStamp(0, key, 0), True) for key in come if key not in known]

    async def _confirmed(self, gone: list[int]) -> list[int]:
        """Those that the ERP doesn't have when it is asked for them. More than are plausible are left
        to a comparison with the log.
        """
        if not gone or self._known is None:
            return []
        rows = self._known.print.size + len(gone)
        if self._max_deletes.exceeded(len(gone), rows):
            self._compare(f"the ERP doesn't list {len(gone)} of {rows} rows")
            return []
        # Unless the ERP answers, they are missing again from the next listing.
        present = set(gone)
        try:
            present = await self._look.present(self.name, gone)
        finally:
            for key in present:
                self._known.add(key)
        return [key for key in gone if key not in present]

    async def _list(self) -> array[int]:
        began = self._monotonic()
        listed = await self._look.ids(self.name)
        self._listed_at, self._took = self._monotonic(), self._monotonic() - began
        self._reconciled, self.wanted = self._clock(), False
        return listed

    # -- telling -----------------------------------------------------------------------------

    def tell(self, found: ChangedRow, now: RowStamp | None) -> None:
        """A row is told as it is `now`, or is not there any more."""
        if now is not None:
            self._recent.tell(now)
            if self._known is not None:
                self._known.add(now.id)
        self._recent.reach(min(found.row.at, found.reach))

    def tell_gone(self, key: int) -> None:
        """That a row was deleted is told."""
        self._recent.forget(key)

    def prune(self) -> None:
        """Forget what no look reaches any more."""
        self._recent.prune(self._overlap)
