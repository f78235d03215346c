"""The signature that every step of the pipeline has, and what passes through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from bridge.agent.declaration import EventHandler
from bridge.log.port import Entry, Record
from bridge.model.event import Event

Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way to one handler.

    `record`: the change record that the event was decoded from.
    `faults`: how often the handler has failed so far; waits for an unavailable system don't count.
    """

    event: Event
    handler: EventHandler
    record: Record
    faults: int = 0


HandleEvent = Callable[[Delivery], Awaitable[list[Result]]]
"""Handles an event and returns its results in order: sealed commands inside of `EncodeCommands`,
log entries outside of it.

Called once per delivery, for many deliveries concurrently, in the event loop of the handlers. May
be
cancelled: nothing of the event has been written then. Raises EventGivenUp if the event can only be
dead-lettered, AgentStopped if the agent has to end.
"""


class OutgoingEntry(NamedTuple):
    """An entry to write for an event: a command or a dead letter."""

    topic: str
    entry: Entry


class EventGivenUp(Exception):
    """No further try can handle the event; `__cause__` says why.

    `attempts`: how often the handler was called for it.
    """

    def __init__(self, handler: EventHandler, attempts: int) -> None:
        super().__init__(handler.name)
        self.attempts = attempts


async def no_results() -> list[Result]:
    """The result of a step that ends the delivery early."""
    return []
