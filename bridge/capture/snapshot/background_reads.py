"""Reads of a source's tables alongside the stream, which never waits for them.

One call at a time, as the port requires, in a separate task, on a connection that is opened when
first needed. A retryable failure of a call is no failure of the stream: its connection is closed,
and the next call may begin after a growing wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from bridge.capture.contract import CaptureDependencies
from bridge.closing import close_all
from bridge.model.errors import BridgeError, RetryLater


class SupportsClose(Protocol):
    """What reads use: a connector's Snapshot or Reader."""

    async def close(self) -> None: ...


R = TypeVar("R", bound=SupportsClose)


class BackgroundReads(Generic[R]):
    """Used by one task: `start` a call when `free`, and `take` its result when `done`.

    `open_reader`: opens what is passed to the calls; it is closed after a call that has to be
    retried.
    `why`: what prevents reads (empty: nothing).
    """

    def __init__(self, deps: CaptureDependencies, open_reader: Callable[[], Awaitable[R]]) -> None:
        self._deps = deps
        self._open_reader = open_reader
        self._reader: R | None = None
        self._call: asyncio.Task[Any] | None = None
        self._wait = 0.0
        self._not_before = 0.0
        self.why = ""

    @property
    def free(self) -> bool:
        """A call may begin: none is running, and no wait is pending."""
        return self._call is None and not self.waiting

    @property
    def waiting(self) -> bool:
        """The last call failed recently, and its wait isn't over."""
        return bool(self.why) and self._deps.monotonic() < self._not_before

    @property
    def done(self) -> bool:
        """A call ended, and its result wasn't taken yet."""
        return self._call is not None and self._call.done()

    def start(self, call: Callable[[R], Awaitable[object]], name: str) -> None:
        """Begin a call."""

        async def act() -> object:
            if self._reader is None:
                self._reader = await self._open_reader()
            return await call(self._reader)

        self._call = asyncio.create_task(act(), name=name)

    async def take(self) -> Any:
        """Return or raise what the call did; after RetryLater it isn't `free` for a while."""
        call, self._call = self._call, None
        if call is None:
            raise ValueError("no call was started")
        try:
            result = call.result()
        except RetryLater as error:
            self._postpone(str(error), error.after)
            await self._let_go()
            raise
        except BridgeError:
            self.why, self._wait = "", 0.0
            raise
        self.why, self._wait = "", 0.0
        return result

    def _postpone(self, why: str, after: float | None) -> None:
        limits = self._deps.limits
        self.why = why
        self._wait = min(max(self._wait * 2, limits.backoff), limits.longest_backoff)
        self._not_before = self._deps.monotonic() + max(self._wait, after or 0.0)

    async def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def close(self) -> None:
        """Stop reading."""
        await close_all(self._end_call, self._let_go)

    async def _end_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            await asyncio.gather(self._call, return_exceptions=True)
