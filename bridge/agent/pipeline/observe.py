"""Reports each try: its outcome, its duration, the number of its commands."""

from __future__ import annotations

from time import perf_counter

from bridge.agent.declaration import AgentDeclaration
from bridge.agent.pipeline.delivery import Delivery, HandleEvent
from bridge.agent.retry_policy import is_final_failure
from bridge.agent.sealing import SealedCommand
from bridge.observe import Handled, Observer


class ObserveTries:
    """Reports every try as `done`, `retry` or `parked`. The waits between tries belong to no
    try.
    """

    def __init__(
        self, agent: AgentDeclaration, observer: Observer, *, then: HandleEvent[SealedCommand]
    ) -> None:
        self._agent = agent
        self._observer = observer
        self._then = then

    async def __call__(self, delivery: Delivery) -> list[SealedCommand]:
        """As HandleEvent."""
        started = perf_counter()
        try:
            commands = await self._then(delivery)
        except Exception as error:
            is_final = is_final_failure(error, delivery.faults + 1, self._agent.attempts)
            self._notice(delivery, "parked" if is_final else "retry", started, 0)
            raise
        self._notice(delivery, "done", started, len(commands))
        return commands

    def _notice(self, delivery: Delivery, outcome: str, started: float, commands: int) -> None:
        seconds = perf_counter() - started
        handler, entity = delivery.handler.name, delivery.event.entity
        self._observer(Handled(self._agent.name, handler, entity, outcome, seconds, commands))
