"""How far the log is after a system, computed when it is asked for: a figure that is set when changes
arrive stands still when capture does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from bridge.model.work_progress import MICROSECONDS


class CaptureProgress(Protocol):
    """What capture notes of one source as it goes. Times in microseconds since 1970 UTC."""

    @property
    def progressed_at(self) -> int:
        """When everything that the source had was last in the log."""

    @property
    def lag_bytes(self) -> int | None:
        """What the source still holds for us; None: it doesn't tell."""

    @property
    def behind(self) -> float | None:
        """How old the newest change was then, in seconds; None: the source doesn't tell."""


class CaptureGauges:
    """Two gauges per captured system. `clock` in microseconds since 1970 UTC."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._captures: Mapping[str, CaptureProgress] = {}
        self._lag = Gauge(
            "bridge_capture_lag_seconds",
            "How old the newest change may be that isn't in the log yet; NaN: the source doesn't tell",
            ["system"],
            registry=registry,
        )

        self._retained = Gauge(
            "bridge_source_retained_bytes",
            "Bytes of its own log that the source still holds for capture; NaN: it doesn't tell",
            ["system"],
            registry=registry,
        )

    def declare(self, systems: Iterable[str]) -> None:
        """Make the series of these systems."""
        for name in systems:
            self._lag.labels(name).set_function(partial(self.lag, name))
            self._retained.labels(name).set_function(partial(self.retained_bytes, name))

    def watch(self, captures: Mapping[str, CaptureProgress]) -> None:
        """From now on these are looked at, by system; one may appear or be replaced later."""
        self._captures = captures

    def retained_bytes(self, name: str) -> float:
        """As of the source's last word."""
        capture = self._captures.get(name)
        return math.nan if capture is None or capture.lag_bytes is None else capture.lag_bytes

    def lag(self, name: str) -> float:
        """What it was at the last progress, and the time since then."""
        capture = self._captures.get(name)
        if capture is None or capture.behind is None:
            return math.nan
        since_then = max(0.0, (self._clock() - capture.progressed_at) / MICROSECONDS)
        return capture.behind + since_then
