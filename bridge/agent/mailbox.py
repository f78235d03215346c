"""Calls from one thread into the event loop of another; what is posted together travels together.

Waking a loop costs a system call and a change of threads, which is more than most calls do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Mailbox:
    """Posted to by one thread, emptied by `receiver` in its own, in order; `before` is called in
    front of each delivery.
    """

    def __init__(
        self, receiver: asyncio.AbstractEventLoop, before: Callable[[], None] | None = None
    ) -> None:
        self._receiver = receiver
        self._before = before
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._waking = False
        self._sending = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have `call` called by the receiver; nothing happens before `send`."""
        self._calls.append((call, arguments))

    def post_soon(
        self, sender: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: Any
    ) -> None:
        """Post, and send at the end of the `sender`'s turn: with what else it posts in it."""
        self._calls.append((call, arguments))
        if not self._sending:
            self._sending = True
            sender.call_soon(self.send)

    def send(self) -> None:
        """Wake the receiver up. One that is closed gets nothing any more."""
        self._sending = False
        if self._calls and not self._waking:
            self._waking = True
            with suppress(RuntimeError):
                self._receiver.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First: what is posted from now on wakes the receiver again.
        self._waking = False
        if self._before is not None:
            self._before()
        for _ in range(len(self._calls)):
            call, arguments = self._calls.popleft()
            try:
                call(*arguments)
            except Exception as error:  # noqa: BLE001 - the calls after it are others'
                self._receiver.call_exception_handler(
                    {"message": f"{call!r} of another thread failed", "exception": error}
                )
