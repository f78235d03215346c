"""Moments and waits in the headers of answers. Pure; nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bridge.model.errors import MAX_RETRY_AFTER_S

YEARS: Final = range(1971, 9000)
"""Those that a header's date may be of; near others there is nothing to reckon with."""
MAX_DATE_CHARACTERS: Final = 100


def http_date(text: str | None) -> datetime | None:
    """A header's date, in UTC; without a zone it counts as UTC. None for anything else."""
    moment = _moment(text)
    return moment if moment is not None and moment.year in YEARS else None


def _moment(text: str | None) -> datetime | None:
    """The same of any year."""
    if not text or len(text) > MAX_DATE_CHARACTERS:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        # Its parser takes zones of any size, and fails in many ways.
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        # At the end of all years, where hours don't matter.
        return moment.replace(tzinfo=UTC)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the service wants to be asked again, where it says so: a number, or a date, by
    the service's own clock where it tells that. At most `MAX_RETRY_AFTER_S`.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return MAX_RETRY_AFTER_S if len(text) > 9 else min(float(text), MAX_RETRY_AFTER_S)
    moment = _moment(text)
    if moment is None:
        return None
    wait = (moment - (http_date(headers.get("date")) or now)).total_seconds()
    return min(max(0.0, wait), MAX_RETRY_AFTER_S)
