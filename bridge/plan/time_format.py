# ruff: noqa: DTZ001 - local times have no zone
"""Text to dates, local times and instants: the transforms `format` and `zone`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.model.conversion_error import ConversionError
from bridge.model.errors import ConfigurationError
from bridge.plan.coerce import text_of
from bridge.plan.inferred_type import CLOCK, DAY, directives

#: Directives whose width is fixed and whose text is digits.
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "f": 6}

_SAMPLE = datetime(2011, 11, 11, 11, 11, 11, 111111, tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """The named time zone; raises ConfigurationError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"time zone {name!r} is not known; use a name of the IANA list, as Europe/Berlin"
        ) from None


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """A local time of `zone` as an instant in UTC.

    A time that comes twice is the first of the two; one that the clocks skipped is refused.
    """
    try:
        utc = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        back = utc.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise ConversionError("an instant outside of the years 1 to 9999", local) from None
    if back != local:
        raise ConversionError(
            f"a local time that {zone.key} skipped when its clocks changed", local
        )
    return utc


def format_parser(text: str, zone: str) -> Callable[[Any], Any]:
    """The function that parses source text by a strftime format (several columns are joined).

    Text of nothing but zeros and blanks is null where the format has a day: that is how legacy
    systems write "no date". Raises ConfigurationError for a format that can't be used.
    """
    used = directives(text)
    day = any(letter in DAY for letter in used)
    clock = any(letter in CLOCK for letter in used)
    if not (day or clock):
        raise ConfigurationError(
            f"format {text!r} names no part of a date or time; write it as in %Y%m%d%H%M%S"
        )
    parse = _digits(text) or _general(text)
    time_zone = zone_of(zone) if zone else None
    width = len(_SAMPLE.strftime(text))

    def parsed(value: Any) -> date | time | datetime | None:
        if isinstance(value, int) and not isinstance(value, bool):
            source = str(value).zfill(width) if value >= 0 else str(value)
        else:
            source = text_of(value)
        source = source.strip()
        if day and not source.strip("0 "):
            return None
        parsed_time = parse(source)
        if not clock:
            return parsed_time.date()
        if not day:
            return parsed_time.time()
        if time_zone is not None:
            return instant(parsed_time.replace(tzinfo=None), time_zone)
        return parsed_time

    return parsed


def _general(text: str) -> Callable[[str], datetime]:
    def parse(source: str) -> datetime:
        try:
            return datetime.strptime(source, text)  # noqa: DTZ007 - the zone is applied by the caller
        except ValueError:
            raise ConversionError(f"text that isn't written as {text!r}", source) from None

    return parse


def _digits(text: str) -> Callable[[str], datetime] | None:
    """A quicker parser for formats of fixed-width numbers, or None."""
    if not re.fullmatch(r"(?:%[YmdHMSf]|[^%])+", text):
        return None
    names, pattern = "", ""
    for part in re.findall(r"%.|[^%]", text):
        if part[0] == "%":
            names += part[1]
            pattern += f"([0-9]{{{_WIDTHS[part[1]]}}})"
        else:
            pattern += re.escape(part)
    if len(set(names)) != len(names) or ("Y" not in names and set(names) & {"m", "d"}):
        return None
    match = re.compile(pattern).fullmatch
    order = [names.find(letter) for letter in "YmdHMSf"]

    def parse(source: str) -> datetime:
        digits = match(source)
        if digits is None:
            raise ConversionError(f"text that isn't written as {text!r}", source)
        groups = digits.groups()
        year, month, day_, hour, minute, second, fraction = (
            int(groups[at]) if at >= 0 else least
            for at, least in zip(order, (1900, 1, 1, 0, 0, 0, 0), strict=True)
        )
        try:
            return datetime(year, month, day_, hour, minute, second, fraction)
        except ValueError:
            raise ConversionError(
                f"text that is no timestamp when read as {text!r}", source
            ) from None

    return parse
