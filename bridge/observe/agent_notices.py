"""What agents report: their handlers and the events of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handled:
    """One attempt of a handler for an event ended.

    outcome: done, retry, parked, echo
    seconds: how long the attempt took, excluding waits between attempts
    commands: how many it returned
    """

    agent: str
    handler: str
    entity: str
    outcome: str
    seconds: float
    commands: int


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler failed for an event.

    failures: how often so far, of `attempts`
    wait: seconds until the next attempt; None: its agent stops
    traceback: without values
    """

    agent: str
    handler: str
    entity: str
    key: str
    event_id: str
    failures: int
    attempts: int
    wait: float | None
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class HandlerWaits:
    """A handler waits for something that is unavailable.

    events: how many wait; 0: none any more
    since: seconds since 1970
    system: where the bridge knows the system
    """

    agent: str
    handler: str
    events: int
    since: float
    system: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HandlerBlocks:
    """A handler blocks its agent's event loop.

    seconds: how long, within the last `window` seconds
    where: the line of the handler that was running
    reason: what to do about it
    """

    agent: str
    handler: str
    seconds: float
    window: float
    where: str
    reason: str
