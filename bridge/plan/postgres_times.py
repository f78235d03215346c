# ruff: noqa: DTZ001, DTZ901 - local times have no zone
"""PostgreSQL's binary dates and times to Python's. It counts from 2000 on, and has infinities."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from bridge.model.conversion_error import ConversionError

DAY_2000 = date(2000, 1, 1).toordinal()
LOCAL_2000 = datetime(2000, 1, 1)
INFINITE_DAY, INFINITE_MICROS = 2**31 - 1, 2**63 - 1
#: What PostgreSQL's infinities become.
FIRST_LOCAL, LAST_LOCAL = datetime.min, datetime.max

_DAY_MICROS = 86_400_000_000


def day(days: int) -> date:
    """Days since 2000 as a date; infinities become the first and last day there is."""
    if days >= INFINITE_DAY:
        return date.max
    if days <= -INFINITE_DAY - 1:
        return date.min
    ordinal = days + DAY_2000
    if not 1 <= ordinal <= date.max.toordinal():
        raise ConversionError("a date outside of the years 1 to 9999")
    return date.fromordinal(ordinal)


def local_time(micros: int) -> datetime:
    """Microseconds since 2000 as a local time; infinities become the first and last one."""
    if micros >= INFINITE_MICROS:
        return LAST_LOCAL
    if micros <= -INFINITE_MICROS - 1:
        return FIRST_LOCAL
    try:
        return LOCAL_2000 + timedelta(microseconds=micros)
    except OverflowError:
        raise ConversionError("a timestamp outside of the years 1 to 9999") from None


def clock(micros: int) -> time:
    """Microseconds since midnight."""
    if not 0 <= micros < _DAY_MICROS:
        raise ConversionError("the time 24:00:00, which has no place in a day")
    return (datetime.min + timedelta(microseconds=micros)).time()
