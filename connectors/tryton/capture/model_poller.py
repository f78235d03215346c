"""One model of a source: changed rows, deleted rows, and why it can't be read."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bridge.connector import Stale
from bridge.model.delete_limit import DEFAULT_LIMIT, DeleteLimit
from connectors.tryton.capture.checkpoint import ModelState
from connectors.tryton.capture.id_gaps import MAX_GAPS, IdGaps
from connectors.tryton.capture.id_set import IdFingerprint, IdSet, fingerprint
from connectors.tryton.capture.poll import PollQueries
from connectors.tryton.capture.recent_changes import MICROS_PER_SECOND, RecentChanges, RowStamp
from connectors.tryton.metadata.model import ID
from connectors.tryton.metadata.model_table import ModelTable, ModelTables
from connectors.tryton.options import TrytonOptions

MAX_LISTING_SHARE: Final = 20
"""Listing ids takes at most one part in this many of the time."""
CLOCK_TOLERANCE_MICROS: Final = 2 * MICROS_PER_SECOND
"""The ERP gives its time in whole seconds."""


class ChangedRow(NamedTuple):
    """A row that has changed.

    - `stamp`: as the poll read it.
    - `is_new`: it was never emitted.
    - `complete_until`: up to when the poll read everything; 0 of a poll at a part of the overlap.
    """

    stamp: RowStamp
    is_new: bool
    complete_until: int = 0


@dataclass(slots=True)
class PollResult:
    """Rows to be read and emitted, ids of deleted rows, and what can't be emitted row by row."""

    changed: list[ChangedRow] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)


class ModelPoller:
    """Polls one model.

    - `trouble`: why it can't be read for now; empty: it can.
    - `listing_requested`: its ids are to be listed soon.
    """

    def __init__(
        self,
        name: str,
        tables: ModelTables,
        queries: PollQueries,
        state: ModelState | None,
        *,
        options: TrytonOptions,
        monotonic: Callable[[], float],
        clock: Callable[[], float],
        max_deletes: DeleteLimit = DEFAULT_LIMIT,
    ) -> None:
        self.name = name
        self._max_deletes = max_deletes
        self.trouble = ""
        self.listing_requested = False
        self._tables = tables
        self._queries = queries
        self._overlap = int(options.overlap * MICROS_PER_SECOND)
        self._interval = options.reconcile
        self._monotonic, self._clock = monotonic, clock
        self._restored = state
        self._recent = state.recent if state else RecentChanges()
        self._ids: IdSet | None = None
        self._fingerprint: IdFingerprint | None = state.fingerprint if state else None
        self._gaps: IdGaps | None = state.gaps if state else None
        self._reconciled_at = self._compare_again_at = 0.0
        self._listed_at = self._listing_took = 0.0
        #: Until a poll succeeds, which returns them.
        self._stale: list[Stale] = []

    # -- the checkpoint ----------------------------------------------------------------------

    def state(self) -> ModelState | None:
        """For the checkpoint; None for a model that was never read. Until it is emitted that the model
        has to be compared, the previous state.
        """
        if self._ids is None or self._stale:
            return self._restored
        return ModelState(
            self._recent,
            self._fingerprint,
            self._reconciled_at,
            self._compare_again_at,
            self._gaps,
        )

    def confirm_deletes(self) -> None:
        """All found deletes are emitted. Call it only then: after a restart only the ids show deletes
        that weren't.
        """
        if self._ids is not None:
            self._fingerprint = self._ids.fingerprint
            self._gaps = self._ids.gaps.limited_to(MAX_GAPS)

    # -- polling -----------------------------------------------------------------------------

    async def start(self, *, first: bool) -> None:
        """Begin now, or at the checkpoint. `first`: at the first start of its source."""
        await self._tables.table(self.name)
        state, recent = self._restored, self._recent
        if state is None:
            recent = RecentChanges(await self._queries.newest_time(self.name))
            start = recent.window_start(self._overlap)
            rows, _ = await self._queries.window(self.name, start)
            if len(rows) > self._queries.max_window_rows:
                self._skip(recent, rows)
            else:
                recent.since = start
                for row in rows:
                    recent.mark_emitted(row)
        ids = await self._list_ids()
        if state is None and not first:
            self._compare("it is captured from now on")
        if state is not None and state.fingerprint is not None:
            self._compare_again_at = state.compare_again_at
            ids = self._resumed_ids(ids, state.fingerprint, state.gaps)
        self._recent, self._ids = recent, IdSet(ids)
        if state is None:
            self.confirm_deletes()

    def _resumed_ids(
        self, listed: array[int], before: IdFingerprint, gaps: IdGaps | None
    ) -> array[int]:
        """The ids that the checkpoint knows: those above are still to be emitted, and those that filled
        its gaps.
        """
        ids = listed[: bisect_right(listed, before.last)]
        if gaps is not None:
            ids = array("q", [key for key in ids if key not in gaps.ids])
        # Some of the others may be older than any poll reaches.
        self.listing_requested = len(ids) < len(listed)
        if fingerprint(ids, before.last) != before:
            self._compare("rows were deleted while nothing was polled", deletes_only=True)
        return ids

    async def poll(self, *, complete: bool) -> PollResult:
        """Read the whole overlap (`complete`), or its last tenth."""
        result = PollResult()
        if self._ids is None:
            await self.start(first=False)
        table, recent = await self._tables.table(self.name), self._recent
        now = self._queries.erp_time
        if complete and now is not None and recent.at > now + CLOCK_TOLERANCE_MICROS:
            recent.rewind(now, self._overlap)
        window = self._overlap if complete else max(self._overlap // 10, 1)
        rows, at_once = await self._queries.window(self.name, recent.window_start(window))
        max_rows = self._queries.max_window_rows
        if len(rows) > max_rows:
            self._skip(recent, rows)
            await self._compare_all(result, f"more than {max_rows} rows changed at once")
        else:
            seen_until = recent.see(rows, at_once=at_once)
            complete_until = seen_until if complete else 0
            result.changed = [
                ChangedRow(row, recent.is_new(row, self._overlap), complete_until)
                for row in recent.changed(rows)
            ]
        if 0 < self._compare_again_at <= self._clock():
            # Transactions that were under way when it was compared have ended.
            self._compare_again_at = 0.0
            self._compare("rows came late amid very many others")
        if self._listing_is_due():
            await self._compare_ids(table, result)
        result.stale, self._stale = self._stale, []
        return result

    def _skip(self, recent: RecentChanges, rows: list[RowStamp]) -> None:
        recent.skip_to(max(row.at for row in rows))
        self._compare_again_at = self._clock() + self._overlap / MICROS_PER_SECOND

    async def _compare_all(self, result: PollResult, reason: str) -> None:
        """Give up single rows: a comparison finds existing and deleted rows."""
        result.changed, result.deleted = [], []
        self._compare(reason)
        self._ids = IdSet(await self._list_ids())

    def _compare(self, reason: str, *, deletes_only: bool = False) -> None:
        self._stale.append(Stale((self.name,), reason, deletes_only, once=deletes_only))

    # -- ids ---------------------------------------------------------------------------------

    def _listing_is_due(self) -> bool:
        if self._clock() - self._reconciled_at >= self._interval:
            self.listing_requested = True
        rested_at = self._listed_at + self._listing_took * MAX_LISTING_SHARE
        return self.listing_requested and self._monotonic() >= rested_at

    async def _compare_ids(self, table: ModelTable, result: PollResult) -> None:
        """Rows deleted since the last listing of ids; and new rows with an older time than any poll
        reads: of a long transaction, or restored from history.
        """
        if self._ids is None:
            return
        missing, new = self._ids.compare(await self._list_ids())
        max_rows = self._queries.max_window_rows
        if len(new) > max_rows:
            await self._compare_all(result, f"more than {max_rows} rows came at once")
            return
        if table.key == (ID,):
            result.deleted = await self._confirmed(missing)
        elif missing:
            # Only the log knows their keys.
            self._compare("rows were deleted", deletes_only=True)
        handled = {changed.stamp.id for changed in result.changed}
        for key in new:
            if key in self._recent.emitted:
                # Emitted just before a restart, and deletes that were found with it were not.
                self._ids.add(key)
                handled.add(key)
        result.changed += [
            ChangedRow(RowStamp(0, key, 0), True) for key in new if key not in handled
        ]

    async def _confirmed(self, missing: list[int]) -> list[int]:
        """The missing ids that the ERP doesn't have by a direct read, either. If more are missing than
        plausible, a comparison with the log decides.
        """
        if not missing or self._ids is None:
            return []
        row_count = self._ids.fingerprint.size + len(missing)
        if self._max_deletes.exceeded(len(missing), row_count):
            self._compare(f"the ERP doesn't list {len(missing)} of {row_count} rows")
            return []
        # If the ERP doesn't answer, the next listing shows them as missing again.
        existing = set(missing)
        try:
            existing = await self._queries.existing_ids(self.name, missing)
        finally:
            for key in existing:
                self._ids.add(key)
        return [key for key in missing if key not in existing]

    async def _list_ids(self) -> array[int]:
        began = self._monotonic()
        ids = await self._queries.list_ids(self.name)
        self._listed_at, self._listing_took = self._monotonic(), self._monotonic() - began
        self._reconciled_at, self.listing_requested = self._clock(), False
        return ids

    # -- what is emitted ---------------------------------------------------------------------

    def mark_emitted(self, changed: ChangedRow, current: RowStamp | None) -> None:
        """A row is emitted as it is now (`current`), or does not exist any more."""
        if current is not None:
            self._recent.mark_emitted(current)
            if self._ids is not None:
                self._ids.add(current.id)
        self._recent.advance(min(changed.stamp.at, changed.complete_until))

    def mark_delete_emitted(self, key: int) -> None:
        """The delete of a row is emitted."""
        self._recent.forget(key)

    def prune(self) -> None:
        """Forget what no poll reads any more."""
        self._recent.prune(self._overlap)
