"""Who waits for barriers: any number of tasks, few entries in the tracker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bridge.gateway.freshness.barriers import BarrierTracker, BarrierWait


@dataclass(slots=True)
class _SharedWait:
    """All who wait for the same barrier for the same entity. `passed`: set when they may continue."""

    wait: BarrierWait
    passed: asyncio.Event
    waiters: int = 0


class BarrierWaits:
    """The waits in one tracker. Used by the tasks of one loop.

    tracker: one of whose barriers everybody waits for.
    begin: called when somebody waits for a barrier that may have to be begun.
    """

    def __init__(self, tracker: BarrierTracker, begin: Callable[[], None]) -> None:
        self._tracker = tracker
        self._begin = begin
        self._shared: dict[tuple[str, int], _SharedWait] = {}

    async def wait(self, entity: str, seconds: float) -> None:
        """Return when a barrier begun from now on was passed, or after so many seconds, or when
        `release` is called. May be cancelled.
        """
        wait = self._tracker.wait(entity)
        shared = self._shared.get((entity, wait.number))
        if shared is None:
            shared = self._shared[entity, wait.number] = _SharedWait(wait, asyncio.Event())
            self._begin()
        else:
            self._tracker.leave(wait)
        shared.waiters += 1
        try:
            async with asyncio.timeout(seconds):
                await shared.passed.wait()
        except TimeoutError:
            return
        finally:
            shared.waiters -= 1
            if not shared.waiters:
                self._forget(shared)

    def release_passed(self) -> None:
        """Let those continue whose barrier was passed."""
        for shared in list(self._shared.values()):
            if self._tracker.has_passed(shared.wait):
                self._forget(shared)
                shared.passed.set()

    def release(self, entity: str | None = None) -> None:
        """Let all continue who wait for that entity; None: for any."""
        for shared in list(self._shared.values()):
            if entity is None or shared.wait.entity == entity:
                self._forget(shared)
                shared.passed.set()

    def _forget(self, shared: _SharedWait) -> None:
        name = (shared.wait.entity, shared.wait.number)
        if self._shared.get(name) is shared:
            del self._shared[name]
            self._tracker.leave(shared.wait)


__all__ = ["BarrierWaits"]
