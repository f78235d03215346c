"""Handlers that wait for something unavailable: which, for what, since when, with how many
events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.error_text import error_message, error_name
from bridge.model.errors import RetryLater
from bridge.observe import HandlerWaits, Observer
from bridge.waiting import PartWaiting


@dataclass(slots=True)
class _Wait:
    since: float
    events: int = 0


class HandlerWaiting:
    """Counts the waiting events of an agent's handlers; used in the handlers' loop. `clock`:
    seconds since 1970.
    """

    def __init__(
        self,
        agent: str,
        part: PartWaiting,
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._agent = agent
        self._part = part
        self._observer = observer
        self._clock = clock
        self._waits: dict[str, _Wait] = {}

    def begin(self, handler: str) -> None:
        """One more event of the handler waits."""
        wait = self._waits.setdefault(handler, _Wait(self._clock()))
        wait.events += 1

    def failed(self, handler: str, error: RetryLater, tries: int) -> None:
        """A waiting event has failed `tries` times."""
        wait = self._waits[handler]
        reason = error_message(error) or error_name(error)
        self._observer(
            HandlerWaits(self._agent, handler, wait.events, wait.since, error.system, reason)
        )
        where = f" for system {error.system!r}" if error.system else ""
        what = f"handler {handler} waits{where} (waiting events: {wait.events})"
        self._part.tried(tries, f"{what}: {reason}", f"handler {handler}")

    def end(self, handler: str) -> None:
        """An event of the handler waits no longer."""
        wait = self._waits[handler]
        wait.events -= 1
        if not wait.events:
            del self._waits[handler]
            self._observer(HandlerWaits(self._agent, handler, 0, wait.since))
            self._part.tried(0, "", f"handler {handler}")
