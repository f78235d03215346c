"""Which rows of a model are news: those in a window of time that weren't told as they are. Pure.

A row carries the time at which the transaction that wrote it began, not the time of its commit, so
that rows appear behind others that were told already. The window therefore begins `overlap` before
the newest row that the last whole look found, and what was told inside of it is remembered by its
time: a row with another time is news, earlier or later. Times are microseconds since 1970 of the
ERP's own clock, by which a transaction may last for `overlap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from bridge.model.errors import Rejected

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROS_PER_SECOND = 1_000_000
"""Of a second."""


class RowStamp(NamedTuple):
    """A row's last change, and its creation."""

    at: int
    id: int
    created: int


def micros_of(value: object) -> int:
    """Microseconds since 1970 of one of Tryton's moments, which are in UTC without a zone. Raises
    Rejected for what is none.
    """
    if not isinstance(value, datetime):
        raise Rejected("legacy_error", "a row's time of creation or change is no moment")
    return (value.replace(tzinfo=UTC) - _EPOCH) // MICROSECOND


def datetime_of(at: int) -> datetime:
    """The other way round."""
    return (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None)


@dataclass(slots=True)
class RecentChanges:
    """What was told of one model lately.

    `at` is the time up to which all was told that a look at the whole overlap found, `since` the
    time from which on `told` (id to time) is complete; nothing before `floor` is asked for. `seen` is
    the newest time that any look since the start has seen.
    """

    at: int = 0
    since: int = 0
    floor: int = 0
    told: dict[int, int] = field(default_factory=dict)
    seen: int = 0

    def begin(self, overlap: int) -> int:
        """Where a window of this length begins."""
        return max(self.at - overlap, self.floor, 0)

    def news(self, rows: Iterable[RowStamp]) -> list[RowStamp]:
        """Those that weren't told as they are, oldest first."""
        return sorted(
            (row for row in rows if self.told.get(row.id) != row.at), key=attrgetter("at", "id")
        )

    def saw(self, rows: Iterable[RowStamp], *, at_once: bool) -> int:
        """A look saw these. Returns the time up to which it may reach: what was committed while it
        was read page by page may lack on a page that was read before, so that a look of several
        pages counts from when it began, and no more is sure of that than what was seen earlier.
        """
        before = max(self.seen, self.at)
        self.seen = max([before, *(row.at for row in rows)])
        return self.seen if at_once else before

    def is_new(self, row: RowStamp, overlap: int) -> bool:
        """Whether the row itself was never told, only to be asked of what is news."""
        return row.id not in self.told and row.created >= max(self.since, self.begin(overlap))

    def tell(self, row: RowStamp) -> None:
        """It is told now."""
        self.told[row.id] = row.at

    def reach(self, at: int) -> None:
        """All is told that a look at the whole overlap found up to here.

        Not what a shorter look found, nor the time that a row has got since: later rows of the same
        time were not looked for, and the next window would begin behind some that come late.
        """
        self.at = max(self.at, at)

    def forget(self, key: int) -> None:
        """It was deleted."""
        self.told.pop(key, None)

    def prune(self, overlap: int) -> None:
        """Forget what no window reaches any more."""
        begin = self.begin(overlap)
        if self.told and min(self.told.values()) < begin:
            self.told = {key: at for key, at in self.told.items() if at >= begin}

    def leap(self, at: int) -> None:
        """Give up telling what came up to `at` row by row: the table is compared instead."""
        self.at = max(self.at, at)
        self.floor = self.since = self.at + 1
        self.told.clear()

    def turn_back(self, now: int, overlap: int) -> None:
        """The ERP's clock stands before rows that were told: what it writes now looks older."""
        if now < self.at:
            self.since = max(self.since, self.begin(overlap))
            self.at, self.seen, self.floor = now, now, 0

    def newest(self, count: int) -> RecentChanges:
        """A copy that remembers at most so many rows: older ones will be told once more."""
        if len(self.told) <= count:
            return RecentChanges(self.at, self.since, self.floor, dict(self.told))
        kept = sorted(self.told.items(), key=lambda item: -item[1])[:count]
        since = kept[-1][1] + 1 if kept else max([self.at, *self.told.values()]) + 1
        return RecentChanges(self.at, max(self.since, since), self.floor, dict(kept))
