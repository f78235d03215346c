"""How many handlers of an agent run side by side, where some of them wait to be tried again.

One that waits gives its slot to another event, and takes the next free one when it resumes.
Lives in the bridge's loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Job = TypeVar("Job", bound=Hashable)


class HandlerSlots(Generic[Job]):
    """At most `limit` jobs run; a job is hashable and unique."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._resting: set[Job] = set()
        self._resuming: deque[tuple[Job, asyncio.Future[None]]] = deque()
        self.running = 0

    def has_room(self) -> bool:
        """Whether another job may start."""
        return self.running < self._limit

    def start(self) -> None:
        """A job starts."""
        self.running += 1

    def end(self, job: Job) -> None:
        """A job has ended, in whichever way."""
        if self._resting and job in self._resting:
            self._resting.discard(job)
            return
        self.running -= 1
        if self._resuming:
            self.admit()

    def rest(self, job: Job) -> None:
        """A job that runs waits for a while."""
        if job in self._resting:
            return  # it was begun again out of an earlier rest
        self._resting.add(job)
        self.running -= 1
        self.admit()

    async def resume(self, job: Job) -> None:
        """Return once the job may run again: before any that hasn't started yet."""
        admitted = asyncio.get_running_loop().create_future()
        self._resuming.append((job, admitted))
        self.admit()
        await admitted

    def admit(self) -> None:
        """Let those that have rested run again, as far as there is room."""
        while self._resuming and self.has_room():
            job, admitted = self._resuming.popleft()
            if not admitted.done() and job in self._resting:
                self._resting.discard(job)
                self.running += 1
                admitted.set_result(None)
