"""A clock that counts the time in which the machine slept."""

from __future__ import annotations

import time


def elapsed() -> float:
    """Seconds since an arbitrary point; time asleep counts where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
