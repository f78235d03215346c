"""Dates and times as OData writes them, V4's ISO 8601 and V2's `/Date(...)/`. Pure.

Every function raises ValueError for text that it can't read completely: nothing is cut off, so a timestamp
finer than microseconds is refused unless its further digits are zeros.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

_TICKS = re.compile(r"/Date\((-?\d+)([+-]\d+)?\)/")
_FRACTION = re.compile(r"\.(\d+)")
_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND_DIGITS = 6


def _micros(text: str) -> str:
    """ISO text with at most six digits after the point; further ones must be zeros."""
    fraction = _FRACTION.search(text)
    if fraction is None:
        return text
    digits = fraction[1]
    if digits[MICROSECOND_DIGITS:].strip("0"):
        raise ValueError("finer than microseconds")
    kept = digits[:MICROSECOND_DIGITS].ljust(MICROSECOND_DIGITS, "0")
    return f"{text[: fraction.start(1)]}{kept}{text[fraction.end(1) :]}"


def _ticks(text: str) -> datetime | None:
    """`/Date(ms)/` or `/Date(ms+minutes)/` in UTC; None: it is neither.

    With an offset the milliseconds count the local clock's time, as Microsoft's services and
    their clients have it.
    """
    match = _TICKS.fullmatch(text)
    if match is None:
        return None
    at = _EPOCH + timedelta(milliseconds=int(match[1]))
    return at - timedelta(minutes=int(match[2])) if match[2] else at


def instant(text: str) -> datetime:
    """An instant, in UTC. Text without any zone is no instant."""
    at = _ticks(text)
    if at is None:
        at = datetime.fromisoformat(_micros(text))
        if at.tzinfo is None:
            raise ValueError("no zone")
    return at.astimezone(UTC)


def finer_instant(text: str) -> str:
    """The text of an instant that is finer than microseconds, in UTC with all its digits, as
    `2026-01-31T10:00:00.1234567Z`. Raises ValueError for what is none.
    """
    fraction = _FRACTION.search(text)
    if fraction is None:
        raise ValueError("no fraction of a second")
    whole = instant(
        f"{text[: fraction.start(1)]}{fraction[1][:MICROSECOND_DIGITS]}{text[fraction.end(1) :]}"
    )
    rest = fraction[1][MICROSECOND_DIGITS:].rstrip("0")
    return f"{whole.replace(tzinfo=None).isoformat(timespec='microseconds')}{rest}Z"


def is_finer(text: str) -> bool:
    """Whether a timestamp has more digits than microseconds, and not zeros alone."""
    fraction = _FRACTION.search(text)
    return fraction is not None and bool(fraction[1][MICROSECOND_DIGITS:].strip("0"))


def local_timestamp(text: str) -> datetime:
    """A date and time without a zone (V2's Edm.DateTime), of which `/Date(...)/` counts as UTC."""
    at = _ticks(text)
    if at is None:
        at = datetime.fromisoformat(_micros(text))
        if at.tzinfo is not None:
            at = at.astimezone(UTC)
    return at.replace(tzinfo=None)


def time_of_day(text: str) -> time:
    """`10:30:00.5`, or V2's `PT10H30M0.5S`, which must be less than a day."""
    if not text.lstrip("-").startswith("P"):
        return time.fromisoformat(_micros(text))
    match = _DURATION.fullmatch(text)
    if match is None or text.endswith(("P", "T")) or match["sign"]:
        raise ValueError("no time of day")
    whole, _, fraction = (match["seconds"] or "0").partition(".")
    if fraction[MICROSECOND_DIGITS:].strip("0"):
        raise ValueError("finer than microseconds")
    since = timedelta(
        days=int(match["days"] or 0),
        hours=int(match["hours"] or 0),
        minutes=int(match["minutes"] or 0),
        seconds=int(whole),
        microseconds=int(fraction[:MICROSECOND_DIGITS].ljust(MICROSECOND_DIGITS, "0") or 0),
    )
    if since >= timedelta(days=1):
        raise ValueError("no time of day")
    return (datetime.min + since).time()  # noqa: DTZ901 - a time of day has no zone


def iso_text(at: datetime | time) -> str:
    """ISO 8601 with no more digits after the point than there are (none, 3 or 6), without zone."""
    plain = at.replace(tzinfo=None)
    if not plain.microsecond:
        return plain.isoformat(timespec="seconds")
    return plain.isoformat(timespec="microseconds" if plain.microsecond % 1000 else "milliseconds")


def v2_duration(at: time) -> str:
    """A time of day as V2 has it: `PT10H30M0.5S`."""
    fraction = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return f"PT{at.hour}H{at.minute}M{at.second}{fraction}S"


def v2_ticks(at: datetime) -> str:
    """A timestamp (in UTC where it has no zone) as `/Date(ms)/`; finer ones are ValueErrors."""
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    micros = since // timedelta(microseconds=1)
    if micros % 1000:
        raise ValueError("finer than milliseconds, which V2's JSON can't hold")
    return f"/Date({micros // 1000})/"
