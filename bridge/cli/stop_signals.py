"""Ctrl-C and SIGTERM while a command runs, whatever its event loop does at the time.

Python's own C code writes a signal's number to a socket at once, and a thread reads it. So the
shutdown doesn't depend on an event loop that may be blocked: the process ends after `LAST_S`, and
after a second signal within `AT_ONCE_S`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any, NoReturn, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_S = 4.5
"""Seconds from the first signal to the end of the process, orderly or not: people wait five."""
AT_ONCE_S = 0.5
"""Seconds for cleaning up after a second signal."""
CUT_OFF = 1
"""Exit code of a process that did not end in order."""


class StopSignals:
    """Calls `first` and `second` for signals within its block, in a separate thread.

    `cut_off` is called with the reason before the process is killed. Enter it in the main thread.
    """

    def __init__(
        self,
        first: Callable[[], None],
        second: Callable[[], None],
        cut_off: Callable[[str], None],
    ) -> None:
        self._first = first
        self._second = second
        self._cut_off = cut_off
        self._handlers: dict[int, Any] = {}
        self._reading, self._writing = socket.socketpair()
        self._wakeup = -1
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._devnull = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open for as long as a signal may come

    def __enter__(self) -> Self:
        self._writing.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._arm)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        faulthandler.cancel_dump_traceback_later()
        self._writing.close()
        self._thread.join()
        self._reading.close()
        self._devnull.close()

    def begin(self) -> None:
        """Act as if a signal had arrived: one did before the block was entered, or a part has
        failed.
        """
        with suppress(OSError):
            self._writing.send(bytes([signal.SIGTERM]))

    def _arm(self, _number: int, _frame: FrameType | None) -> None:
        # For code that holds the interpreter lock and lets no thread run: this needs no thread.
        faulthandler.dump_traceback_later(LAST_S + 0.4, exit=True, file=self._devnull)

    def _watch(self) -> None:
        deadline: float | None = None
        count = 0
        while True:
            self._reading.settimeout(
                None if deadline is None else max(0.001, deadline - monotonic())
            )
            try:
                numbers = self._reading.recv(1)
            except TimeoutError:
                self._end()
            if not numbers:
                return
            if numbers[0] not in SIGNALS:
                continue
            count += 1
            if count == 1:
                deadline = monotonic() + LAST_S
                self._first()
            elif count == 2:
                deadline = min(deadline or 0.0, monotonic() + AT_ONCE_S)
                self._second()
            else:
                self._end()

    def _end(self) -> NoReturn:
        with suppress(Exception):
            self._cut_off(f"did not end in time after a signal; it was {_doing()}")
        leave_now(CUT_OFF)


def leave_now(code: int) -> NoReturn:
    """End the process without waiting for threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def has_busy_threads() -> bool:
    """Whether threads run that the interpreter may wait for at exit: it does for those of pools,
    even daemon threads.
    """
    return threading.active_count() > 1


def _doing() -> str:
    """Where the main thread is."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    if frame is None:
        return "ending"
    line = traceback.extract_stack(frame, limit=1)[0]
    return f"at {line.filename}:{line.lineno} in {line.name}"
