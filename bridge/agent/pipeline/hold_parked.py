"""`on_failure: park_key`: events of a key that is parked are dead-lettered without being handled."""

from __future__ import annotations

from bridge.agent.contract import ParkedKeyRegistry
from bridge.agent.pipeline.dead_letters import DeadLetterEntries
from bridge.agent.pipeline.delivery import Delivery, HandleEvent, OutgoingEntry
from bridge.model.errors import Rejected


class HoldParkedKeys:
    """Dead-letters events whose key is parked; replayed events pass."""

    def __init__(
        self,
        parked_keys: ParkedKeyRegistry,
        dead_letters: DeadLetterEntries,
        *,
        then: HandleEvent[OutgoingEntry],
    ) -> None:
        self._parked_keys = parked_keys
        self._dead_letters = dead_letters
        self._then = then

    async def __call__(self, delivery: Delivery) -> list[OutgoingEntry]:
        """As HandleEvent."""
        event, record = delivery.event, delivery.record
        if event.replayed or not await self._parked_keys.holds(event.entity, record.key):
            return await self._then(delivery)
        reason = Rejected(
            "key_parked",
            "an earlier event of this key was parked, and the agent's on_failure is park_key",
        )
        return [self._dead_letters.entry(record, event, delivery.handler, reason, 0)]
