"""Keeps an agent from reacting to changes that its own commands caused."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Generic

from bridge.agent.declaration import AgentDeclaration
from bridge.agent.pipeline.delivery import Delivery, HandleEvent, Result, no_results
from bridge.observe import Handled, Observer


class SuppressEchoes(Generic[Result]):
    """Ends deliveries of the agent's own changes, unless the agent or the handler wants them."""

    def __init__(
        self, agent: AgentDeclaration, observer: Observer, *, then: HandleEvent[Result]
    ) -> None:
        self._agent = agent
        self._observer = observer
        self._then = then

    def __call__(self, delivery: Delivery) -> Awaitable[list[Result]]:
        """As HandleEvent."""
        handler, event = delivery.handler, delivery.event
        if not self._agent.is_echo(handler, event):
            return self._then(delivery)
        self._observer(Handled(self._agent.name, handler.name, event.entity, "echo", 0.0, 0))
        return no_results()
