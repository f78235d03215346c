"""How much one agent may read: in a window, and for one event. Pure."""

from __future__ import annotations

from collections import deque

from bridge.model.errors import BridgeError, Rejected, RetryLater
from bridge.model.read_demands import ReadCause
from bridge.model.specs import BudgetSpec

MAX_EVENTS = 10_000
"""Attempts at events whose reads are counted at the same time; the oldest are forgotten."""
ROUNDING_S = 1e-7
GROUPS = 100
"""What was read within this part of the window leaves it together, with the last of it."""


class ReadBudget:
    """What one agent has used of its budget. Reads no clock: `now` is a monotonic clock's seconds."""

    def __init__(self, agent: str, limits: BudgetSpec) -> None:
        self._agent = agent
        self._limits = limits
        self._used: deque[tuple[float, float, int]] = deque()
        """When it began, when it leaves the window, and how much."""
        self._sum = 0
        self._events: dict[int, tuple[ReadCause, int]] = {}

    def take(self, now: float, count: int, cause: ReadCause | None) -> BridgeError | None:
        """Use `count` reads of it; why not, and then nothing is used: RetryLater with when enough of
        the window is free again, Rejected (`over_budget`) for more than it will ever allow.
        """
        limits = self._limits
        used_for_event = 0 if cause is None else self._events.get(id(cause), (cause, 0))[1]
        if limits.per_event and cause is not None and used_for_event + count > limits.per_event:
            return Rejected(
                "over_budget",
                f"agent {self._agent!r} may read {limits.per_event} rows for one event "
                f"(`budgets` of the bridge's file) and wants {used_for_event + count} for "
                f"{cause.event_id or 'this one'}: read fewer, or raise per_event",
            )
        if limits.reads and (refusal := self._refusal(now, count)) is not None:
            return refusal
        if limits.per_event and cause is not None:
            self._events.pop(id(cause), None)
            self._events[id(cause)] = (cause, used_for_event + count)
            if len(self._events) > MAX_EVENTS:
                del self._events[next(iter(self._events))]
        if limits.reads:
            self._add(now, count)
        return None

    def _refusal(self, now: float, count: int) -> BridgeError | None:
        limits = self._limits
        budget = f"{limits.reads} reads in {limits.per_s:g} s (`budgets` of the bridge's file)"
        if count > limits.reads:
            return Rejected(
                "over_budget",
                f"agent {self._agent!r} wants {count} rows at once; its budget is {budget}",
            )
        # Who has waited for exactly as long as it was said to comes in time, whatever was rounded.
        while self._used and self._used[0][1] <= now + ROUNDING_S:
            self._sum -= self._used.popleft()[2]
        over = self._sum + count - limits.reads
        if over <= 0:
            return None
        for _, leaves_at, amount in self._used:
            over -= amount
            if over <= 0:
                wait = leaves_at - now
                return RetryLater(
                    f"agent {self._agent!r} has used {self._sum} of its budget of {budget}; {count} "
                    f"more are free in {wait:.1f} s",
                    after=wait,
                )
        raise AssertionError("an empty window has room for what isn't more than it")

    def _add(self, now: float, count: int) -> None:
        leaves_at = now + self._limits.per_s
        if self._used and now - self._used[-1][0] < self._limits.per_s / GROUPS:
            began, _, amount = self._used.pop()
            self._used.append((began, leaves_at, amount + count))
        else:
            self._used.append((now, leaves_at, count))
        self._sum += count
