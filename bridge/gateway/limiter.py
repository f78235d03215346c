"""The limits of one system: waits and wakes as its admission control decides."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf
from time import monotonic

from bridge.gateway.limits.admission_control import AdmissionControl
from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.ceiling import QUERY, Admission, Cost
from bridge.model.specs import SystemLimits

SAME_THROTTLE_S = 0.5
"""Concurrent queries are refused with nearly the same end of the pause."""
NEXT_QUERY = Cost(connections=0)
"""One more query on a connection that is held."""


class Limiter:
    """Hands out a system's connections within all of its limits.

    By class and deadline, first come first served where nothing else is said. All methods belong to
    one event loop; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        limits: SystemLimits,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._control = AdmissionControl(limits)
        self._clock = clock
        self._sleep = sleep
        self._throttled_until = clock()
        self._waiting: dict[AdmissionRequest, asyncio.Future[Admission]] = {}
        # Which query of these has ended, nobody says. It doesn't matter: each is one request, and
        # the sum of the times that they ran is the same in whatever order they are taken.
        self._running: deque[Admission] = deque()
        self._waker: asyncio.Task[None] | None = None
        self._wakes_at = inf

    def throttle(self, seconds: float, why: str) -> bool:
        """Start no query for `seconds`, because the system asked for a pause, and use a connection
        less for a time. Returns whether this is new: False if another query was already refused
        with the same time.
        """
        now = self._clock()
        until = now + seconds
        news = now >= self._throttled_until or until > self._throttled_until + SAME_THROTTLE_S
        self._throttled_until = max(until, self._throttled_until)
        if news:
            self._control.system_refused(now, now)
        self._control.pause(now, until, why)
        self._take_turn()
        return news

    async def acquire(
        self,
        work: WorkClass = WorkClass.AGENTS,
        deadline: float = inf,
        *,
        sheddable: bool = False,
    ) -> None:
        """Wait for a connection and for permission to start; `release` returns the connection.

        deadline: when the answer is no longer of use, in the clock's seconds; sheddable: whether
        the wait may be ended because others wait too.
        Raises RetryLater with the reason if the deadline can't be met, the wait was ended, or the
        system's pause is too long to wait for. May be cancelled.
        """
        self._running.append(await self._admit(work, deadline, QUERY, sheddable=sheddable))

    async def wait_for_start(
        self, work: WorkClass = WorkClass.AGENTS, deadline: float = inf
    ) -> None:
        """Wait until one more query may start on a connection already acquired, whose query has
        ended. Raises as `acquire`; the connection is still to be released.
        """
        now = self._clock()
        ended = self._running.popleft()
        held = Admission(replace(ended.cost, requests=0, seconds=0.0), now)
        ended.cost = replace(ended.cost, connections=0)
        self._control.end(now, ended)
        try:
            admission = await self._admit(work, deadline, NEXT_QUERY, sheddable=False)
            admission.cost = replace(admission.cost, connections=held.cost.connections)
            held = admission
        finally:
            self._running.append(held)

    def release(self) -> None:
        """Return a connection, whose query has ended."""
        admission = self._running.popleft()
        seconds = -1.0 if admission.cost.requests else 0.0
        self._control.end(self._clock(), admission, seconds=seconds)
        if self._waiting:
            self._take_turn()

    async def _admit(
        self, work: WorkClass, deadline: float, cost: Cost, *, sheddable: bool
    ) -> Admission:
        now = self._clock()
        if (admission := self._control.start(now, cost)) is not None:
            return admission
        request = AdmissionRequest(work, now, deadline, cost, sheddable)
        answer: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        self._control.ask(now, request)
        self._take_turn()
        try:
            return await answer
        except asyncio.CancelledError:
            self._waiting.pop(request, None)
            if not self._control.withdraw(request) and _is_admission(answer):
                self._control.ceilings.cancel(answer.result())
            self._take_turn()
            raise

    def _take_turn(self) -> None:
        """Answer everybody whose turn it is, and come back when the next may be."""
        while True:
            turn = self._control.turn(self._clock())
            unused = False
            for request, admission in turn.started:
                answer = self._waiting.pop(request)
                if answer.done():
                    self._control.ceilings.cancel(admission)
                    unused = True
                else:
                    answer.set_result(admission)
            for request, error in turn.refused:
                answer = self._waiting.pop(request)
                if not answer.done():
                    answer.set_exception(error)
            if not unused:
                break
        self._wake_at(turn.again_at)

    def _wake_at(self, when: float) -> None:
        """Take a turn then. A waker that comes earlier stays, and sees that it was too early."""
        if self._waker is not None and not (self._wakes_at <= when < inf):
            self._waker.cancel()
            self._waker = None
        if self._waker is None and when < inf:
            self._wakes_at = when
            self._waker = asyncio.ensure_future(self._wake())

    async def _wake(self) -> None:
        await self._sleep(max(0.0, self._wakes_at - self._clock()))
        self._waker = None
        self._take_turn()


def _is_admission(answer: asyncio.Future[Admission]) -> bool:
    return answer.done() and not answer.cancelled() and answer.exception() is None
