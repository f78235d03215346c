"""Passes only the events that the handler is declared for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Generic

from bridge.agent.pipeline.delivery import (
    Delivery,
    EventGivenUp,
    HandleEvent,
    Result,
    no_results,
)


class SelectEvents(Generic[Result]):
    """Ends deliveries of other entities and operations, and those that `where` excludes. A `where`
    that raises gives the event up.
    """

    def __init__(self, *, then: HandleEvent[Result]) -> None:
        self._then = then

    def __call__(self, delivery: Delivery) -> Awaitable[list[Result]]:
        """As HandleEvent."""
        try:
            is_wanted = delivery.handler.wants(delivery.event)
        except Exception as error:
            raise EventGivenUp(delivery.handler, 1) from error
        return self._then(delivery) if is_wanted else no_results()
