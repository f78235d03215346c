"""Signals that come before there is anything to end in order: while modules are loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

_SEEN: Final[list[int]] = []
_OWNED: Final[list[int]] = []


def end_at_signals() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt wherever the program is. For a process
    that is `bridgectl` and nothing else.
    """
    _OWNED.append(os.getpid())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Python drops what is raised in the callbacks of its own machinery (imports, weak references),
    # so that the signal has to be remembered, too.
    _SEEN.append(number)
    raise KeyboardInterrupt


def owns_process() -> bool:
    """Whether this process is `bridgectl`, and not a program that calls it."""
    return os.getpid() in _OWNED


def signal_received() -> bool:
    """Whether one came."""
    return bool(_SEEN)
