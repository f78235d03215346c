"""What the agent stage needs from other stages; `bridge.wiring` provides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.log.port import TopicPartition


class ParkedKeyRegistry(Protocol):
    """The parked keys of an agent with `on_failure: park_key`."""

    def add(self, entity: str, key: bytes | None, partition: TopicPartition) -> None:
        """Park the key: one of its events, from `partition`, is being dead-lettered."""

    async def holds(self, entity: str, key: bytes | None) -> bool:
        """Whether the key is parked."""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """The target of a declared command: its entity, that entity's key fields, its guards.

    `key` empty: unknown (in a test); a command's key is then used unchecked.
    """

    system: str
    entity: str
    key: tuple[str, ...]
    guards: tuple[str, ...] = ()


class CommandTargets(Protocol):
    """The declared commands of all systems."""

    def target(self, name: str) -> CommandTarget:
        """Raises Rejected (`unknown_command`), which lists the declared commands."""
