"""Notices that a handler blocks the event loop of its agent's handlers, and which one does."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from bridge.agent.declaration import EventHandler
from bridge.agent.mailbox import Mailbox
from bridge.observe import HandlerBlocks, Observer

POLL_S = 0.2
"""Seconds between two checks of a busy loop."""
LATE_AFTER_S = 0.1
"""Seconds without an answer that count as blocked: a loop that is merely busy answers sooner."""
WINDOW_S = 10.0
MIN_BLOCKED_S = 2.0
"""A loop is reported once it was blocked for this many seconds of the window."""
REPORT_INTERVAL_S = 60.0
"""Minimum seconds between two reports about the same agent."""
ADVICE_TEXT = (
    "{handler} blocks its agent's event loop, so other events wait{where}: await an async client, "
    "asyncio.sleep or asyncio.to_thread, or make the handler a plain `def`, which runs in a thread"
)
_OWN_FOLDERS = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, asyncio.__file__))


class BlockedLoopWatch:
    """Pings the loop of `thread` repeatedly, from the bridge's loop."""

    def __init__(
        self,
        agent: str,
        handlers: Sequence[EventHandler],
        thread: int,
        to_handlers: Mailbox,
        *,
        observer: Observer,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._agent = agent
        self._handlers = handlers
        self._thread = thread
        self._to_handlers = to_handlers
        self._observer = observer
        self._clock = clock
        self._sent_at: float | None = None
        self._delays: deque[tuple[float, float]] = deque()
        """(time, seconds) of each gap in which the loop did not answer. Its thread appends at any
        time.
        """
        self._seen: Counter[tuple[str, str]] = Counter()
        self._silent_until = clock()

    async def run(self, is_busy: Callable[[], bool]) -> None:
        """Watch until cancelled; an idle loop is not pinged."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._sent_at is not None or is_busy():
                self.poll()

    def poll(self) -> None:
        """Look once."""
        now = self._clock()
        if self._sent_at is None:
            self._sent_at = now
            self._to_handlers.post(self._answer)
            self._to_handlers.send()
        elif now - self._sent_at >= LATE_AFTER_S:
            culprit = self._culprit()
            if culprit is not None:
                self._seen[culprit] += 1
        self._report(now)

    def _answer(self) -> None:
        """Called in the handlers' loop."""
        sent_at = self._sent_at
        if sent_at is not None:
            now = self._clock()
            if now - sent_at >= LATE_AFTER_S:
                self._delays.append((now, now - sent_at))
            self._sent_at = None

    def _report(self, now: float) -> None:
        while self._delays and self._delays[0][0] < now - WINDOW_S:
            self._delays.popleft()
        waiting = now - self._sent_at if self._sent_at is not None else 0.0
        blocked = sum(seconds for _, seconds in tuple(self._delays)) + waiting
        if blocked < MIN_BLOCKED_S:
            if not self._delays:
                self._seen.clear()
            return
        if now < self._silent_until or not self._seen:
            return
        ((handler, where), _) = self._seen.most_common(1)[0]
        reason = ADVICE_TEXT.format(handler=handler, where=f" at {where}" if where else "")
        self._silent_until = now + REPORT_INTERVAL_S
        self._delays.clear()
        self._seen.clear()
        self._observer(
            HandlerBlocks(self._agent, handler, round(blocked, 1), WINDOW_S, where, reason)
        )

    def _culprit(self) -> tuple[str, str] | None:
        """The handler that is running and its current line; None if none is running any more."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - what debuggers use
        outermost: FrameType | None = None
        while frame is not None:
            name = self._name(frame)
            if name is not None:
                return name, _line(frame)
            if not frame.f_code.co_filename.startswith((*_OWN_FOLDERS, "<")):
                outermost = frame
            frame = frame.f_back
        if outermost is None or outermost.f_code.co_filename.endswith(
            ("threading.py", "selectors.py")
        ):
            return None
        if len(self._handlers) == 1:
            return self._handlers[0].name, _line(outermost)
        return outermost.f_code.co_name, _line(outermost)

    def _name(self, frame: FrameType) -> str | None:
        for handler in self._handlers:
            if _code(handler.run) is frame.f_code:
                return handler.name
        return None


def _code(run: Any) -> Any:
    function = inspect.unwrap(getattr(run, "func", run))
    if not inspect.isroutine(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004
    return getattr(function, "__code__", None)


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
