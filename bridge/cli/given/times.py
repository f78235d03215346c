"""Instants as people write them: ISO 8601, `10m ago`, epoch milliseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)\s*)+")
#: Whole numbers from here on are epoch milliseconds (1973), below they are no instants.
MIN_EPOCH_MS = 100_000_000_000
FORMS = "2026-01-31T10:00, 2026-01-31, '10m ago', -1h30m, now, or epoch milliseconds"


def span_ms(text: str) -> int | None:
    """`90s`, `1h30m`, `2d` in milliseconds; None for anything else."""
    if not _SPAN.fullmatch(text.strip()):
        return None
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))


def instant_ms(text: str, now_ms: int) -> int:
    """The instant in milliseconds since 1970. A time without a zone is in this machine's zone.

    Raises ValueError that says which forms there are.
    """
    said = text.strip().lower()
    if said == "now":
        return now_ms
    if said.isdigit() and int(said) >= MIN_EPOCH_MS:
        return int(said)
    if said.startswith("-") or said.endswith("ago"):
        span = span_ms(said.removeprefix("-").removesuffix("ago"))
        if span is not None:
            return now_ms - span
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write {FORMS}") from None
    return round(found.astimezone(UTC).timestamp() * 1000)


def now_ms() -> int:
    """The clock of this machine."""
    return time.time_ns() // 1_000_000


class Time(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """An option that is an instant; its value is milliseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return instant_ms(value, now_ms())
        except ValueError as error:
            self.fail(str(error), param, ctx)


TIME = Time()
