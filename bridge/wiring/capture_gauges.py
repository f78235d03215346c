"""How old what the log holds of a system may be, computed when it is asked for: a figure that is set
when changes arrive stands still when capture does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Gauge

MICROSECONDS: Final = 1_000_000


class CaptureProgress(Protocol):
    """What capture notes of one source as it goes. Times in microseconds since 1970 UTC."""

    @property
    def progressed_at(self) -> int:
        """When everything was last in the log; 0: not yet."""

    @property
    def behind(self) -> float | None:
        """How old the newest change was then, in seconds; None: the source doesn't tell."""


class CaptureGauges:
    """Two gauges per captured system. `clock` in microseconds since 1970 UTC."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._started_at = clock()
        self._captures: Mapping[str, CaptureProgress] = {}
        self._age = Gauge(
            "bridge_capture_progress_age_seconds",
            "Seconds since everything that the source had was in the log",
            ["system"],
            registry=registry,
        )
        self._lag = Gauge(
            "bridge_capture_lag_seconds",
            "How old the newest change may be that isn't in the log yet; NaN: the source doesn't tell",
            ["system"],
            registry=registry,
        )

    def declare(self, systems: Iterable[str]) -> None:
        """Make the series of these systems."""
        for name in systems:
            self._age.labels(name).set_function(partial(self.age, name))
            self._lag.labels(name).set_function(partial(self.lag, name))

    def watch(self, captures: Mapping[str, CaptureProgress]) -> None:
        """From now on these are looked at, by system; one may appear or be replaced later."""
        self._captures = captures

    def age(self, name: str) -> float:
        """Seconds without progress; without any, since the process started."""
        capture = self._captures.get(name)
        progressed_at = 0 if capture is None else capture.progressed_at
        return max(0.0, (self._clock() - (progressed_at or self._started_at)) / MICROSECONDS)

    def lag(self, name: str) -> float:
        """What it was at the last progress, and the time since then."""
        capture = self._captures.get(name)
        if capture is None or capture.behind is None:
            return math.nan
        return capture.behind + self.age(name)
