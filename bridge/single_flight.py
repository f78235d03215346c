"""Concurrent requests for the same thing share one call.

`SingleFlight` is for values by key, which the caller caches; `CoalescedRun` for work that brings
something up to date, where the result of a call that has already begun may be too old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from bridge.model.errors import RetryLater

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Running calls by key. Requests for a key that is being fetched wait for the same call.

    A call that fails, fails for all who wait for it; the next request begins a new one. A waiting
    task may be cancelled: the call is cancelled when no task waits for it any more.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[Value]] = {}

    async def result(self, key: Key, call: Callable[[], Awaitable[Value]]) -> Value:
        """Return or raise what `call` does, or what the running call for this key does."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(call)
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RetryLater("the call that this one waited for was cancelled") from error
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._landed(key, flight)
                flight.task.cancel()

    def _landed(self, key: Key, flight: _Flight[Value]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class _Flight(Generic[Value]):
    """One call and how many tasks wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, call: Callable[[], Awaitable[Value]]) -> None:
        self.task: asyncio.Future[Value] = asyncio.ensure_future(call())
        self.waiting = 0


class CoalescedRun:
    """Runs work one run after the other, each on behalf of all callers that asked before it began.

    A run that fails, fails for all of those; a run that was cancelled is begun again.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._failure: Exception | None = None

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Return after a run of `work` that began after this call. Raises what that run raised."""
        wanted = self._begun + 1
        async with self._turn:
            if self._ended < wanted:
                self._begun += 1
                try:
                    await work()
                    self._failure = None
                except Exception as error:  # noqa: BLE001 - raised to all who waited for it
                    self._failure = error
                self._ended = self._begun
            if self._failure is not None:
                raise self._failure
