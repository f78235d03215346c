"""Queries that are admitted, end and are cancelled at random, and what the system counts of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from bridge.gateway.limits import Admission, Ceilings, Cost, Refusal, Wait
from bridge.model.specs import SystemLimits

#: Times are multiples of it, so that no sum of them is rounded.
TICK_S = 1 / 8


@dataclass
class CountedQuery:
    """One query as the system sees it. `arrived`: when the system counts it, in its own time."""

    cost: Cost
    started: float
    arrived: float = 0.0
    ended: float = 0.0
    rows: int = 0


@dataclass
class QueryRun:
    """One history. `now` is both clocks; the system may count at any time of a query."""

    ceilings: Ceilings
    random: Random
    max_rows: int = 20
    now: float = 1000.0
    running: dict[Admission, CountedQuery] = field(default_factory=dict)
    ended: list[CountedQuery] = field(default_factory=list)
    most_at_once: int = 0

    def play(self, steps: int) -> list[CountedQuery]:
        """All queries that were sent, ended."""
        for _ in range(steps):
            self.step()
        while self.running:
            self.now += TICK_S
            self.end(next(iter(self.running)))
        return self.ended

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.25:
            self.now += TICK_S * self.random.choice((1, 1, 2, 8, 40))
        elif choice < 0.40 and self.running:
            self.end(self.random.choice(list(self.running)))
        elif choice < 0.45 and self.running:
            admission = self.random.choice(list(self.running))
            del self.running[admission]
            self.ceilings.cancel(admission)
        else:
            self.ask(Cost(requests=self.random.choice((1, 1, 2)), seconds=2.0))

    def ask(self, cost: Cost) -> Admission | Wait | Refusal:
        verdict = self.ceilings.admit(self.now, cost)
        if isinstance(verdict, Admission):
            self.running[verdict] = CountedQuery(cost, self.now)
            self.most_at_once = max(self.most_at_once, len(self.running))
        return verdict

    def end(self, admission: Admission) -> None:
        """The estimate of two seconds is an upper bound of what the system executes."""
        query = self.running.pop(admission)
        query.ended = self.now
        query.arrived = self.random.choice(
            (query.started, query.ended, (query.started + query.ended) / 2)
        )
        query.rows = self.random.randrange(self.max_rows)
        seconds = min(2.0, self.now - query.started)
        query.cost = Cost(requests=query.cost.requests, seconds=seconds)
        self.ended.append(query)
        self.ceilings.end(self.now, admission, seconds=seconds, rows=query.rows)


def most_in_a_window(counted: list[tuple[float, float]], per: float) -> float:
    """By brute force: the largest sum of amounts in any `(t, t + per]`."""
    return max(
        (sum(a for at, a in counted if last - per < at <= last) for last, _ in counted), default=0
    )


def violations(limits: SystemLimits, run: QueryRun, steps: int) -> list[str]:
    """What the system counted over its limits in one run, each limit by itself."""
    queries = run.play(steps)
    broken = []
    if run.most_at_once > limits.connections:
        broken.append("connections")
    for window in limits.windows:
        counted = [
            (q.arrived, q.cost.requests if window.unit == "requests" else q.cost.seconds)
            for q in queries
        ]
        if most_in_a_window(counted, window.per_s) > window.limit:
            broken.append(f"{window.unit} in a window")
    if rate := limits.queries_per_second:
        starts = sorted((q.started, q.cost.requests) for q in queries)
        for first, (since, _) in enumerate(starts):
            sent = 0
            for at, requests in starts[first:]:
                sent += requests
                if sent > limits.burst + rate * (at - since) + 1e-6:
                    broken.append("requests per second")
    return broken


def over_rows(limits: SystemLimits, run: QueryRun, steps: int) -> list[float]:
    """How far over the rows of a time the answers of that time are, for each time that is too many.

    The overdraft that is allowed are the queries on all connections at once.
    """
    queries = sorted(run.play(steps), key=lambda query: query.ended)
    allowed = limits.rows_per_second + limits.connections * run.max_rows
    over = []
    for first, since in enumerate(queries):
        rows = 0
        for query in queries[first:]:
            rows += query.rows
            excess = rows - allowed - limits.rows_per_second * (query.ended - since.ended)
            if excess > 1e-6:
                over.append(excess)
    return over
