"""A clock that includes the time in which the machine was suspended."""

from __future__ import annotations

import time


def elapsed() -> float:
    """Seconds since an arbitrary point; includes suspended time if the operating system has such a
    clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
