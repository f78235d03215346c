"""What starts now, what is refused, and when to look again: one system's whole protection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

from bridge.gateway.limits.admission_queue import MAX_WAITING, AdmissionQueue
from bridge.gateway.limits.admission_request import KEPT_FOR_COMMANDS, AdmissionRequest
from bridge.gateway.limits.admission_state import AdmissionState
from bridge.gateway.limits.ceiling import Admission, Cost, Refusal, Wait
from bridge.gateway.limits.ceilings import Ceilings
from bridge.gateway.limits.circuit_breaker import CircuitBreaker
from bridge.gateway.limits.connection_backoff import ConnectionBackoff
from bridge.model.errors import BridgeError, Rejected, RetryLater
from bridge.model.specs import SystemLimits
from bridge.observe import ReadRefusal

MAX_PAUSE_S = 30.0
"""Seconds that a request without a deadline waits for a system that asked for a pause."""


@dataclass(slots=True)
class Turn:
    """What to do now. `again_at`: the next turn if nothing happens before; `inf`: none."""

    started: list[tuple[AdmissionRequest, Admission]] = field(default_factory=list)
    refused: list[tuple[AdmissionRequest, BridgeError]] = field(default_factory=list)
    again_at: float = inf


class AdmissionControl:
    """Decides; waits for nothing and reads no clock. After each call take a `turn`.

    A request is answered exactly once, by `started` or `refused` of a turn, unless it is withdrawn.
    An admission is ended exactly once. RetryLater: the request may be made again; Rejected
    (`over_limit`): it exceeds a limit by itself.
    """

    def __init__(self, limits: SystemLimits) -> None:
        self.ceilings = Ceilings(limits)
        self._queue = AdmissionQueue(
            1 / limits.queries_per_second if limits.queries_per_second else 0.0
        )
        self._backoff = ConnectionBackoff(self.ceilings.connections)
        self.breaker = CircuitBreaker()
        self._paused_until = -inf
        self._pause_reason = ""
        self._refused_counts: Counter[str] = Counter()
        self._refused: list[tuple[AdmissionRequest, BridgeError]] = []

    def ask(self, now: float, request: AdmissionRequest) -> None:
        """A query wants to start. Refused in the next turn if it can't meet its deadline."""
        ahead = self._queue.ahead_of(request)
        earliest = max(
            self._paused_until, self.ceilings.not_before(now, request.cost, ahead, request.kept)
        )
        if not self.breaker.may_start(now):
            self._refuse_unavailable(now, request)
        elif self._is_paused_too_long(now, request):
            self._refuse_for_pause(now, request)
        elif earliest > request.start_by:
            why = f"{ahead} before it" if ahead else "the limits of the system"
            self._refuse_late(now, request, earliest, why)
        elif not self._queue.add(request):
            self._refuse(
                request, "full", RetryLater(f"{MAX_WAITING} queries wait for {_whom(request)}")
            )

    def earliest_start(self, now: float, request: AdmissionRequest) -> float:
        """No query for this request starts earlier, whether it waits by itself or joins one that
        waits: by a pause and the limits, without those that are before it.
        """
        limited = self.ceilings.not_before(now, request.cost, 0, request.kept)
        return max(now, self._paused_until, limited)

    def start(self, now: float, cost: Cost) -> Admission | None:
        """Start at once, if nobody waits and every ceiling has room; the way of most queries, and
        of none that others wait for.
        """
        self._backoff.give_back(now)
        if len(self._queue) or now < self._paused_until or self.breaker.state != "closed":
            return None
        verdict = self.ceilings.admit(now, cost, KEPT_FOR_COMMANDS)
        return verdict if isinstance(verdict, Admission) else None

    def withdraw(self, request: AdmissionRequest) -> bool:
        """Whoever asked has gone. Returns whether the request was still waiting."""
        return self._queue.remove(request)

    def end(self, now: float, admission: Admission, *, seconds: float = -1, rows: int = 0) -> None:
        """A query has ended; as `Ceilings.end`."""
        self.breaker.ended(admission)
        self.ceilings.end(now, admission, seconds=seconds, rows=rows)

    def cancel(self, admission: Admission) -> None:
        """Nothing was sent to the system."""
        self.breaker.ended(admission)
        self.ceilings.cancel(admission)

    def system_refused(self, now: float, started: float) -> bool:
        """The system refused a query that began then. Returns whether a connection was lost."""
        self._backoff.give_back(now)
        return self._backoff.refused(now, started)

    def pause(self, now: float, until: float, reason: str) -> None:
        """Start nothing before `until`; never ends a longer pause sooner. Who waits and can't wait
        for that is refused.
        """
        if until <= self._paused_until:
            return
        self._paused_until, self._pause_reason = until, reason
        for lane in self._queue.lanes():
            for request in lane:
                if self._is_paused_too_long(now, request):
                    lane.remove(request)
                    self._refuse_for_pause(now, request)

    def turn(self, now: float) -> Turn:
        """Everything that is to be done now."""
        self._backoff.give_back(now)
        started: list[tuple[AdmissionRequest, Admission]] = []
        while True:
            before = len(self._refused)
            again_at = min(self._start(now, started), self._drop_late(now), self._shed(now))
            if len(self._refused) == before:
                break  # Otherwise who was refused may have been in the way of others.
        if len(self._queue):
            again_at = min(again_at, self._backoff.next_return)
        refused, self._refused = self._refused, []
        return Turn(started, refused, again_at)

    def state(self, now: float) -> AdmissionState:
        """How it stands now."""
        breaker, connections = self.breaker, self.ceilings.connections
        waiting = Counter(
            request.work.name.lower() for lane in self._queue.lanes() for request in lane
        )
        is_closed = breaker.state == "closed"
        return AdmissionState(
            in_use=connections.in_use,
            connections=connections.limit,
            most=connections.most,
            waiting=dict(waiting),
            refused=dict(self._refused_counts),
            paused_s=max(0.0, self._paused_until - now),
            pause_reason=self._pause_reason if self._paused_until > now else "",
            breaker=breaker.state,
            failures=breaker.failures,
            failing_s=0.0 if is_closed else now - breaker.since,
            probe_s=0.0 if is_closed else max(0.0, breaker.probe_at - now),
            reason="" if is_closed else breaker.reason,
        )

    def _start(self, now: float, started: list[tuple[AdmissionRequest, Admission]]) -> float:
        """Start what may start; when the next may."""
        if now < self._paused_until:
            return self._paused_until if len(self._queue) else inf
        while (request := self._queue.head()) is not None:
            if not self.breaker.may_start(now):
                self._refuse_all(now)
                break
            in_time = request.start_by >= now
            verdict = self.ceilings.admit(now, request.cost, request.kept) if in_time else None
            if isinstance(verdict, Admission):
                self._queue.start(request)
                self.breaker.started(now, verdict)
                started.append((request, verdict))
            elif isinstance(verdict, Wait) and not request.start_by < verdict.until < inf:
                return verdict.until
            else:
                self._queue.remove(request)
                if isinstance(verdict, Refusal):
                    self._refuse(
                        request, "limit", Rejected("over_limit", f"the query {verdict.reason}")
                    )
                elif isinstance(verdict, Wait):
                    self._refuse_late(now, request, verdict.until, verdict.ceiling)
                else:
                    self._refuse_late(now, request, now, "no turn came")
        return inf

    def _drop_late(self, now: float) -> float:
        """Refuse whoever hasn't started in time; when the next one is due."""
        next_due = inf
        for lane in self._queue.lanes():
            while (request := lane.next_due()) is not None and request.start_by <= now:
                lane.remove(request)
                self._refuse_late(now, request, now, "no turn came")
            if request is not None:
                next_due = min(next_due, request.start_by)
        return next_due

    def _shed(self, now: float) -> float:
        """Shorten lanes that are too long; when one may be next."""
        next_look = inf
        for lane in self._queue.lanes():
            while (request := lane.to_shed(now)) is not None:
                lane.remove(request)
                waits = f"{len(lane)} more queries wait for {_whom(request)}"
                self._refuse(
                    request, "shed", RetryLater(f"shed: the system is at its limit, and {waits}")
                )
            next_look = min(next_look, lane.next_shedding())
        return next_look

    def _is_paused_too_long(self, now: float, request: AdmissionRequest) -> bool:
        if self._paused_until <= now:
            return False
        if request.start_by == inf:
            return self._paused_until - now > MAX_PAUSE_S
        return request.start_by < self._paused_until

    def _refuse_all(self, now: float) -> None:
        """Refuse whoever waits for a system that isn't asked."""
        for lane in self._queue.lanes():
            for request in lane:
                lane.remove(request)
                self._refuse_unavailable(now, request)

    def _refuse_unavailable(self, now: float, request: AdmissionRequest) -> None:
        after = self.breaker.retry_after(now)
        self._refuse(request, "unavailable", RetryLater(self.breaker.refusal(now), after=after))

    def _refuse_for_pause(self, now: float, request: AdmissionRequest) -> None:
        left = self._paused_until - now
        error = RetryLater(f"{self._pause_reason} (for {left:.0f} s more)", after=left)
        self._refuse(request, "pause", error)

    def _refuse_late(
        self, now: float, request: AdmissionRequest, earliest: float, why: str
    ) -> None:
        left, wait = request.start_by - now, earliest - now
        self._refuse(
            request,
            "deadline",
            RetryLater(
                f"can't start within its deadline: it would have to start in {max(left, 0):.3g} s, "
                f"and starts in {wait:.3g} s or later ({why})",
                after=wait or None,
            ),
        )

    def _refuse(self, request: AdmissionRequest, cause: ReadRefusal, error: BridgeError) -> None:
        request.refused_for = cause
        self._refused_counts[cause] += 1
        self._refused.append((request, error))


def _whom(request: AdmissionRequest) -> str:
    return request.work.name.lower()
