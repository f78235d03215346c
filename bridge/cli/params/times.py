"""Parses times typed by people: ISO 8601, `10m ago`, epoch milliseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)")
_SPAN = re.compile(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?\s*(?:ms|s|m|h|d|w)\s*)+")
EPOCH = re.compile(r"[0-9]{1,20}")
#: The range that all clocks and calendars of the bridge support.
FIRST_MS, LAST_MS = 0, 253_370_764_800_000
#: Whole numbers from here on are epoch milliseconds (1973); smaller ones are not times.
MIN_EPOCH_MS = 100_000_000_000
FORMS = "2026-01-31T10:00, 2026-01-31, '10m ago', -1h30m, now, or epoch milliseconds"


def span_ms(text: str) -> int | None:
    """`90s`, `1h30m`, `2d` in milliseconds; None for anything else."""
    if not _SPAN.fullmatch(text.strip()):
        return None
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))


def instant_ms(text: str, now_ms: int) -> int:
    """The time in milliseconds since 1970. A time without a zone is in this machine's zone.

    Raises ValueError that lists the valid forms.
    """
    try:
        instant = _instant_ms(text.strip(), now_ms)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:80]!r} is not a time: write {FORMS}") from None
    if not FIRST_MS <= instant <= LAST_MS:
        raise ValueError(f"{text[:80]!r} is not within the years 1970 to 9998: write {FORMS}")
    return instant


def _instant_ms(text: str, now_ms: int) -> int:
    word = text.lower()
    if word == "now":
        return now_ms
    if EPOCH.fullmatch(word) and int(word) >= MIN_EPOCH_MS:
        return int(word)
    if word.startswith("-") or word.endswith("ago"):
        span = span_ms(word.removeprefix("-").removesuffix("ago"))
        if span is not None:
            # Earlier than any record: negative timestamps have a special meaning in Kafka.
            return max(FIRST_MS, now_ms - span)
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def now_ms() -> int:
    """The current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class TimeParam(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """A time option; its value is milliseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return instant_ms(value, now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


TIME = TimeParam()
