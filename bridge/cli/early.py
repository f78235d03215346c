"""Signals that come before there is anything to end in order: while modules are loaded."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

_SEEN: Final[list[int]] = []


def end_at_signals() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt wherever the program is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Python drops what is raised in the callbacks of its own machinery (imports, weak references),
    # so that the signal has to be remembered, too.
    _SEEN.append(number)
    raise KeyboardInterrupt


def seen() -> bool:
    """Whether one came."""
    return bool(_SEEN)
