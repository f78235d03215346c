"""Signals that arrive while modules are being loaded, when there is nothing to shut down yet."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

_SEEN: Final[list[int]] = []
_OWNED: Final[list[int]] = []


def end_at_signals() -> None:
    """Make Ctrl-C and SIGTERM raise KeyboardInterrupt wherever the program is. Only for a process
    that is `bridgectl` itself.
    """
    _OWNED.append(os.getpid())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Python drops exceptions in callbacks of its own machinery (imports, weak references), so the
    # signal has to be recorded, too.
    _SEEN.append(number)
    raise KeyboardInterrupt


def owns_process() -> bool:
    """Whether this process is `bridgectl`, and not a program that calls it."""
    return os.getpid() in _OWNED


def signal_received() -> bool:
    """Whether a signal has arrived."""
    return bool(_SEEN)
