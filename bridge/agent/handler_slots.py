"""The concurrency limit of an agent's handlers, some of which wait to be retried.
A waiting handler gives its slot to another event, and takes the next free one when it resumes. Used
in the bridge's loop only.
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
        """A job has ended, successfully or not."""
        if self._resting and job in self._resting:
            self._resting.discard(job)
            return
        self.running -= 1
        if self._resuming:
            self.admit()

    def rest(self, job: Job) -> None:
        """A running job starts to wait and frees its slot."""
        if job in self._resting:
            return  # it had been resumed from an earlier rest
        self._resting.add(job)
        self.running -= 1
        self.admit()

    async def resume(self, job: Job) -> None:
        """Return once the job may run again; it takes precedence over jobs that haven't started."""
        admitted = asyncio.get_running_loop().create_future()
        self._resuming.append((job, admitted))
        self.admit()
        await admitted

    def admit(self) -> None:
        """Let rested jobs run again, as far as there is room."""
        while self._resuming and self.has_room():
            job, admitted = self._resuming.popleft()
            if not admitted.done() and job in self._resting:
                self._resting.discard(job)
                self.running += 1
                admitted.set_result(None)
