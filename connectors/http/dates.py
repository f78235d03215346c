"""Timestamps and delays in the headers of answers. Pure; nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from bridge.model.errors import MAX_RETRY_AFTER_S

YEARS: Final = range(1971, 9000)
"""Years that a header's date may have; near others no delay can be computed."""
MAX_DATE_CHARACTERS: Final = 100


def http_date(text: str | None) -> datetime | None:
    """A header's date, in UTC; without a zone it counts as UTC. None for anything else."""
    timestamp = _timestamp(text)
    return timestamp if timestamp is not None and timestamp.year in YEARS else None


def _timestamp(text: str | None) -> datetime | None:
    """The same of any year."""
    if not text or len(text) > MAX_DATE_CHARACTERS:
        return None
    try:
        timestamp = parsedate_to_datetime(text)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        # Its parser takes zones of any size, and fails in many ways.
        return None
    try:
        return timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    except OverflowError:
        # At the end of all years, where hours don't matter.
        return timestamp.replace(tzinfo=UTC)


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by `Retry-After`, if the service sends it: a number, or a date, relative to the
    service's own clock if known. At most `MAX_RETRY_AFTER_S`.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return MAX_RETRY_AFTER_S if len(text) > 9 else min(float(text), MAX_RETRY_AFTER_S)
    timestamp = _timestamp(text)
    if timestamp is None:
        return None
    wait = (timestamp - (http_date(headers.get("date")) or now)).total_seconds()
    return min(max(0.0, wait), MAX_RETRY_AFTER_S)
