"""Which rows of a model have changed: those in a window of time that were not emitted as they are. Pure.

A row carries the time at which the transaction that wrote it began, not the time of its commit, so
that rows appear before others that were emitted already. The window therefore begins `overlap` before
the newest row that the last complete poll read, and what was emitted inside of it is remembered by its
time: a row with another time has changed, whether that is earlier or later. Times are microseconds
since 1970 of the ERP's own clock, by which a transaction may last for `overlap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final, NamedTuple

from bridge.model.errors import Rejected

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MICROS_PER_SECOND: Final = 1_000_000


class RowStamp(NamedTuple):
    """When a row was changed last (`at`) and created."""

    at: int
    id: int
    created: int


def micros_of(value: object) -> int:
    """Microseconds since 1970 of one of Tryton's timestamps, which are in UTC without a zone. Raises
    Rejected if it is none.
    """
    if not isinstance(value, datetime):
        raise Rejected("legacy_error", "a row's time of creation or change is no timestamp")
    return (value.replace(tzinfo=UTC) - _EPOCH) // MICROSECOND


def datetime_of(micros: int) -> datetime:
    """The timestamp, as Tryton keeps it, of microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None)


@dataclass(slots=True)
class RecentChanges:
    """What was emitted of one model lately.

    - `at`: everything that complete polls read up to this time was emitted.
    - `since`: from this time on, `emitted` is complete.
    - `floor`: nothing before it is read.
    - `emitted`: the time of each row that was emitted, by its id.
    - `latest_seen`: the newest time that any poll since the start has read.

    A complete poll reads the whole overlap; others read a part of it.
    """

    at: int = 0
    since: int = 0
    floor: int = 0
    emitted: dict[int, int] = field(default_factory=dict)
    latest_seen: int = 0

    def window_start(self, overlap: int) -> int:
        """Where a window of this length begins."""
        return max(self.at - overlap, self.floor, 0)

    def changed(self, rows: Iterable[RowStamp]) -> list[RowStamp]:
        """The rows that weren't emitted as they are, oldest first."""
        return sorted(
            (row for row in rows if self.emitted.get(row.id) != row.at),
            key=attrgetter("at", "id"),
        )

    def see(self, rows: Iterable[RowStamp], *, at_once: bool) -> int:
        """A poll has read these rows. Returns the time up to which it may advance `at`.

        What was committed while rows were read page by page (not `at_once`) may be missing from a page
        that was read before. Such a poll advances only to what was seen before it began.
        """
        before = max(self.latest_seen, self.at)
        self.latest_seen = max([before, *(row.at for row in rows)])
        return self.latest_seen if at_once else before

    def is_new(self, row: RowStamp, overlap: int) -> bool:
        """Whether a row that has changed was never emitted before."""
        return row.id not in self.emitted and row.created >= max(
            self.since, self.window_start(overlap)
        )

    def mark_emitted(self, row: RowStamp) -> None:
        """The row is emitted as of that time."""
        self.emitted[row.id] = row.at

    def advance(self, at: int) -> None:
        """Everything that a complete poll read up to here is emitted.

        Neither the result of a shorter poll nor the newer time of a row may be used: other rows of that
        time were not read, and the next window would begin after some that commit late.
        """
        self.at = max(self.at, at)

    def forget(self, key: int) -> None:
        """The row was deleted."""
        self.emitted.pop(key, None)

    def prune(self, overlap: int) -> None:
        """Forget rows that no window includes any more."""
        start = self.window_start(overlap)
        if self.emitted and min(self.emitted.values()) < start:
            self.emitted = {key: at for key, at in self.emitted.items() if at >= start}

    def skip_to(self, at: int) -> None:
        """Give up emitting what changed up to `at` row by row: the table is compared instead."""
        self.at = max(self.at, at)
        self.floor = self.since = self.at + 1
        self.emitted.clear()

    def rewind(self, now: int, overlap: int) -> None:
        """Begin at `now` after the ERP's clock was set back to it: new changes have older times than
        emitted rows.
        """
        if now < self.at:
            self.since = max(self.since, self.window_start(overlap))
            self.at, self.latest_seen, self.floor = now, now, 0

    def limited_to(self, count: int) -> RecentChanges:
        """A copy that remembers at most so many rows: older ones will be emitted once more."""
        if len(self.emitted) <= count:
            return RecentChanges(self.at, self.since, self.floor, dict(self.emitted))
        kept = sorted(self.emitted.items(), key=lambda item: -item[1])[:count]
        since = kept[-1][1] + 1 if kept else max([self.at, *self.emitted.values()]) + 1
        return RecentChanges(self.at, max(self.since, since), self.floor, dict(kept))
