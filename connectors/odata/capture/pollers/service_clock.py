"""The service's clock, as its rows and answers show it: from which timestamp on a poll reads. Pure.

What becomes visible from now on has a timestamp at most `overlap` ago. The service's clock showed
at least the latest timestamp when that was seen, and has advanced since; the overlap begins where it
stood when the last whole poll began, for what became visible later was not seen by that one.

Rows may have timestamps in the future (a typing error, another time zone). They don't count:
the `Date` of the service's answers bounds the latest timestamp, or such a row would hide all changes
until that time. If that Date is before the latest timestamp, the clock was set back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from connectors.http.dates import http_date
from connectors.odata.protocol.timestamps import instant

_FINER = re.compile(r"(\.\d{6})\d+")
DATE_RESOLUTION = timedelta(seconds=1)
"""How exact the Date of an answer is."""
MAX_ZONE_OFFSET = timedelta(hours=14)
"""How far ahead of UTC a local time may be: V2's timestamps without a zone."""

MAX_TRUSTED_SETBACK_S = 60.0
"""If the clock was set back by more seconds than this, earlier results are doubtful."""


class ClockSetBack(NamedTuple):
    """Where to read from; `stale`: why the table has to be compared with the log, or ""."""

    start: datetime
    stale: str


class ServiceClock:
    """Used by one poller. Timestamps are all with a zone, or all without."""

    def __init__(self, overlap: float, monotonic: Callable[[], float]) -> None:
        self.now = monotonic
        self._overlap = timedelta(seconds=overlap)
        #: The latest timestamp seen, which is not in the future, and when it was seen first.
        self.latest: datetime | None = None
        self._since = 0.0
        #: When the last whole poll began, and the one under way.
        self._polled = 0.0
        self._begun = 0.0
        #: The `Date` of the service's last answer.
        self._date: datetime | None = None

    def forget(self) -> None:
        """Begin again."""
        self.latest = None
        self._polled = self._since = self.now()

    def restore(self, latest: datetime | None, behind: float) -> None:
        """Resume after a restart: the latest timestamp counts as seen just now."""
        self.forget()
        self.latest = latest
        self._polled = self._begun = self._since - behind

    @property
    def behind(self) -> float:
        """Seconds from the beginning of the last whole poll until the latest timestamp was seen."""
        return max(0.0, self._since - self._polled)

    def answered(self, date: str, begun: float, *, first: bool) -> None:
        """An answer came, with that `Date` header; its request was made at `begun`. `first`: it is
        the first one of a poll.
        """
        self._date = http_date(date)
        if first:
            self._begun = begun

    def see(self, timestamp: datetime | None) -> None:
        """A row has that timestamp."""
        if timestamp is None:
            return
        if self._date is not None:
            if timestamp.tzinfo is not None:
                timestamp = min(timestamp, self._date + DATE_RESOLUTION)
            elif timestamp > self._date.replace(tzinfo=None) + MAX_ZONE_OFFSET:
                return
        if self.latest is None or timestamp > self.latest:
            self.latest, self._since = timestamp, self.now()

    def start(self, *, skip_latest: bool) -> datetime | None:
        """From which timestamp on a poll that begins now has to ask; None: from the beginning.

        The latest timestamp itself is asked for again, in case the clock is a little late,
        unless (`skip_latest`) too many rows have it.
        """
        if self.latest is None:
            return None
        # Negative where the latest timestamp was seen by the last poll itself, some time after it began.
        passed = timedelta(seconds=self._polled - self._since)
        start = _earlier(self.latest, self._overlap - passed)
        return start if start <= self.latest or skip_latest else self.latest

    def set_back(self) -> ClockSetBack | None:
        """Where the clock was set back since the last poll: from which timestamp on to ask now.

        To be asked after the first answer of a poll. None: it wasn't, as far as one can know:
        timestamps without a zone can't show it.
        """
        date, latest = self._date, self.latest
        if (
            date is None
            or latest is None
            or latest.tzinfo is None
            or date + 2 * DATE_RESOLUTION >= latest
        ):
            return None
        elapsed = timedelta(seconds=max(0.0, self._begun - self._polled))
        self.latest, self._since = date - elapsed, self.now()
        seconds = (latest - date).total_seconds()
        stale = f"the service's clock was set back by {seconds:.0f} s"
        return ClockSetBack(
            self.latest - self._overlap, stale if seconds > MAX_TRUSTED_SETBACK_S else ""
        )

    def polled(self) -> None:
        """The poll under way is through."""
        self._polled = self._begun


def _earlier(timestamp: datetime, by: timedelta) -> datetime:
    """So much earlier; the first timestamp of all where there is none before it: `0001-01-01`, which many
    programs write for "never".
    """
    try:
        return timestamp - by
    except OverflowError:
        return datetime.min.replace(tzinfo=timestamp.tzinfo)


def timestamp_of(value: Any) -> datetime | None:
    """A timestamp, also one finer than microseconds (which a row keeps as text), cut down to them."""
    if isinstance(value, str):
        text = _FINER.sub(r"\1", value)
        try:
            return instant(text)
        except (ValueError, OverflowError):
            return None
    return value if isinstance(value, datetime) else None
