"""Which notices of things that are tried again become lines of the log, and what is added to those."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from bridge.observe import EntityState, HandlerFailed, Notice, PartState, SourceState, Throttled
from bridge.retry_reports import RepeatedFailure, RetryReports

_FAILING = frozenset({"retrying", "unavailable"})
_FINAL = frozenset({"failed", "stopped"})
_BETWEEN_TRIES = "starting"


class RetryLines:
    """One line at once, further ones at growing intervals, and one when it is over."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._reports = RetryReports(clock)

    def facts(self, notice: Notice) -> dict[str, Any] | None:
        """What to add to the line of this notice; None where no line is due."""
        key = _key(notice)
        if key is None:
            return {}
        if isinstance(notice, HandlerFailed) and notice.wait is None:
            return {}
        if isinstance(notice, (HandlerFailed, Throttled)):
            return _counted(self._reports.failed(key, notice.reason))
        state, reason = getattr(notice, "state", ""), getattr(notice, "reason", "")
        if state in _FAILING:
            return _counted(self._reports.failed(key, reason))
        if state == _BETWEEN_TRIES and not reason and self._reports.is_failing(key):
            return None
        if self._reports.is_failing(key):
            repeats = self._reports.ended(key)
            # What was never reported needs no end; what ends for good is news in any case.
            return {} if repeats is None and state in _FINAL else _counted(repeats)
        return {}


def _key(notice: Notice) -> tuple[str, ...] | None:
    match notice:
        case PartState():
            return "part", notice.kind, notice.name
        case SourceState():
            return "source", notice.system
        case EntityState():
            return "entity", notice.entity
        case HandlerFailed():
            return "handler", notice.agent, notice.handler
        case Throttled():
            return "held", notice.system
        case _:
            return None


def _counted(repeats: RepeatedFailure | None) -> dict[str, Any] | None:
    """A first failure needs no count."""
    if repeats is None:
        return None
    if repeats.tries == 1:
        return {}
    return {"tries": repeats.tries, "for_seconds": round(repeats.seconds, 1)}
