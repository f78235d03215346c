"""Which notices of repeated failures become log lines, and what is added to these."""

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
    """One line immediately, further ones at growing intervals, and one when it is over."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._reports = RetryReports(clock)

    def facts(self, notice: Notice) -> dict[str, Any] | None:
        """The facts to add to this notice's line; None if no line is due."""
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
            # A failure that was never reported needs no end; a final one is always reported.
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
