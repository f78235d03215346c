"""The limits of one system: waits and wakes as its admission control decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic

from bridge.gateway.limits.admission_control import AdmissionControl
from bridge.gateway.limits.admission_request import AdmissionRequest, WorkClass
from bridge.gateway.limits.admission_state import AdmissionState
from bridge.gateway.limits.ceiling import QUERY, Admission, Cost
from bridge.gateway.limits.circuit_breaker import CircuitBreaker
from bridge.gateway.limits.duration_estimate import DurationEstimate
from bridge.gateway.limits.running_query import CURRENT_QUERY, RunningQuery
from bridge.model.errors import BridgeError, DeadlineExceeded
from bridge.model.specs import SystemLimits
from bridge.observe import Observer, ReadQueued, ReadRefused, ignore

SAME_THROTTLE_S = 0.5
"""Concurrent queries are refused with nearly the same end of the pause."""
NEXT_QUERY = Cost(connections=0)
"""One more query on a connection that is held."""


class Limiter:
    """Hands out a system's connections within all of its limits.

    By class and deadline, first come first served where nothing else is said. All methods belong to
    one event loop; `clock` gives monotonic seconds. Where a method takes a `query`, None stands for
    the one that the current task (or the one that began it) acquired last.
    """

    def __init__(
        self,
        limits: SystemLimits,
        *,
        system: str = "",
        observer: Observer = ignore,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._control = AdmissionControl(limits)
        self._system = system
        self._observer = observer
        self._clock = clock
        self._sleep = sleep
        self._throttled_until = clock()
        self._estimate = DurationEstimate()
        self._estimated = (0.0, 0.0)
        self._costs = {QUERY: QUERY, NEXT_QUERY: NEXT_QUERY}
        self._waiting: dict[AdmissionRequest, asyncio.Future[Admission]] = {}
        self._waker: asyncio.Task[None] | None = None
        self._wakes_at = inf

    @property
    def max_rows(self) -> int:
        """Rows of one answer at most; 0: any number."""
        return self._control.ceilings.max_rows

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
            self.system_refused()
        self._control.pause(now, until, why)
        self._take_turn()
        return news

    def system_refused(self, query: RunningQuery | None = None) -> bool:
        """The system refused a query for its load: use a connection less for a time. Returns whether
        that is new; False: it began before the last such refusal, or one connection is left.
        """
        now = self._clock()
        query = query or CURRENT_QUERY.get(None)
        started = now if query is None else query.admission.started
        return self._control.system_refused(now, started)

    def answered(self, query: RunningQuery | None = None) -> bool:
        """The system answered the query, also by refusing it. Returns whether the system was
        unavailable until now, so that only a probe was sent.
        """
        breaker = self._control.breaker
        query = query or CURRENT_QUERY.get(None)
        if breaker.is_untroubled or query is None:
            return False
        return breaker.answered(query.admission)

    def failed(self, reason: str, query: RunningQuery | None = None) -> bool:
        """The system can't be reached, or doesn't answer the query. Returns whether nothing is sent
        to it from now on but probes; whoever waits is refused then.
        """
        query = query or CURRENT_QUERY.get(None)
        if query is None:
            return False
        opens = self._control.breaker.failed(self._clock(), query.admission, reason)
        if opens:
            self._take_turn()
        return opens

    def state(self) -> AdmissionState:
        """How the protection stands now, for reports."""
        return self._control.state(self._clock())

    def now(self) -> float:
        """The time on its clock."""
        return self._clock()

    @property
    def breaker(self) -> CircuitBreaker:
        """Whether the system is asked at all, for reports."""
        return self._control.breaker

    def used(self, *, rows: int = 0, requests: int = 0, query: RunningQuery | None = None) -> None:
        """What the query has used, for which it is charged when it ends; ignored where there is no
        query.

        rows: of its answer; requests: that were sent for it, where the connector counts them.
        """
        query = query or CURRENT_QUERY.get(None)
        if query is not None:
            query.rows += rows
            query.requests += requests

    def check_deadline(self, deadline: float, work: WorkClass = WorkClass.AGENTS) -> None:
        """Raises DeadlineExceeded at once, if a query that is asked for now can't be answered by
        then (in the clock's seconds), because of the limits or a pause and by the time that queries
        take.
        """
        now = self._clock()
        request = AdmissionRequest(work, now, deadline, self._cost(QUERY))
        earliest = self._control.earliest_start(now, request)
        if earliest <= max(now, request.start_by):
            return
        error = DeadlineExceeded(
            f"system {self._system!r} can't be asked in time: by its limits the next query starts in "
            f"{earliest - now:.3g} s and takes about {request.cost.seconds:.2g} s, and an answer is of "
            f"use for {max(0.0, deadline - now):.3g} s (`deadline`)",
            after=earliest - now,
        )
        name = work.name.lower()
        self._observer(ReadRefused(self._system, name, "deadline", str(error)))
        raise error

    async def acquire(
        self,
        work: WorkClass = WorkClass.AGENTS,
        deadline: float = inf,
        *,
        sheddable: bool = False,
    ) -> RunningQuery:
        """Wait for a connection and for permission to start; `release` returns the connection.

        deadline: when the answer is no longer of use, in the clock's seconds; sheddable: whether
        the wait may be ended because others wait too.
        Raises RetryLater with the reason if the deadline can't be met, the wait was ended, or the
        system's pause is too long to wait for. May be cancelled.
        """
        admission = await self._admit(work, deadline, self._cost(QUERY), sheddable=sheddable)
        query = RunningQuery(admission, work, deadline)
        CURRENT_QUERY.set(query)
        return query

    async def wait_for_start(self, query: RunningQuery | None = None) -> None:
        """Wait until one more query may start on the connection of `query`, whose query has ended.
        Raises as `acquire`; the connection is still to be released.
        """
        query = query or CURRENT_QUERY.get()
        now = self._clock()
        ended = query.admission
        connections = ended.cost.connections
        query.admission = Admission(ended.cost._replace(requests=0, seconds=0.0), now)
        ended.cost = ended.cost._replace(connections=0)
        self._end(now, query, ended)
        cost = self._cost(NEXT_QUERY)
        admission = await self._admit(query.work, query.deadline, cost, sheddable=False)
        admission.cost = admission.cost._replace(connections=connections)
        query.admission = admission

    def release(self, query: RunningQuery | None = None) -> None:
        """Return a connection, whose query has ended. Exactly once a query."""
        query = query or CURRENT_QUERY.get()
        self._end(self._clock(), query, query.admission)
        if self._waiting:
            self._take_turn()

    def _end(self, now: float, query: RunningQuery, admission: Admission) -> None:
        """Charge for what the query has used, unless it hadn't started."""
        if admission.cost.requests and query.requests:
            admission.cost = admission.cost._replace(requests=query.requests)
        seconds = 0.0
        if admission.cost.requests:
            seconds = now - admission.started
            self._estimate.add(seconds)
        self._control.end(now, admission, seconds=seconds, rows=query.rows)
        query.rows = query.requests = 0

    def _cost(self, query: Cost) -> Cost:
        """With an estimate of its time, by which it has to start before its deadline and which a
        window of seconds is charged at first.
        """
        seconds, (low, high) = self._estimate.seconds, self._estimated
        if not low <= seconds <= high:
            # Not for each query: a little too much is as good.
            self._estimated = low, high = 0.8 * seconds, 1.1 * seconds
            self._costs = {each: each._replace(seconds=high) for each in (QUERY, NEXT_QUERY)}
        return self._costs[query]

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
            admission = await answer
            waited = self._clock() - now
            self._observer(ReadQueued(self._system, work.name.lower(), waited))
            return admission
        except asyncio.CancelledError:
            self._waiting.pop(request, None)
            if not self._control.withdraw(request) and _is_admission(answer):
                self._control.cancel(answer.result())
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
                    self._control.cancel(admission)
                    unused = True
                else:
                    answer.set_result(admission)
            for request, error in turn.refused:
                answer = self._waiting.pop(request)
                if not answer.done():
                    answer.set_exception(error)
                    self._report_refusal(request, error)
            if not unused:
                break
        self._wake_at(turn.again_at)

    def _report_refusal(self, request: AdmissionRequest, error: BridgeError) -> None:
        if request.refused_for is not None:
            work = request.work.name.lower()
            self._observer(ReadRefused(self._system, work, request.refused_for, str(error)))

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
