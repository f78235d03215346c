"""Durations for people."""

from __future__ import annotations


def seconds_text(value: float | None) -> str | None:
    """The duration in seconds, minutes or hours."""
    if value is None:
        return None
    if value < 90:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} m" if value < 5400 else f"{value / 3600:.0f} h"
