"""Calls from one thread into the event loop of another, delivered in batches.
Waking a loop costs a system call and a thread switch, which is more than most calls cost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Mailbox:
    """One thread posts; `receiver` runs the calls in its own thread, in order; `before` is called
    before each delivery.
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
        """Queue `call` for the receiver; nothing is delivered before `send`."""
        self._calls.append((call, arguments))

    def post_soon(
        self, sender: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: Any
    ) -> None:
        """Post, and send at the end of the current iteration of `sender`, with everything else
        posted in it.
        """
        self._calls.append((call, arguments))
        if not self._sending:
            self._sending = True
            sender.call_soon(self.send)

    def send(self) -> None:
        """Wake the receiver up. A closed receiver gets nothing."""
        self._sending = False
        if self._calls and not self._waking:
            self._waking = True
            with suppress(RuntimeError):
                self._receiver.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First, so that anything posted from now on wakes the receiver again.
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
