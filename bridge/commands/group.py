"""The consumer group of a system's executor: its name, and its members' callbacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from bridge.log.partition_owner import ObservedGroup
from bridge.log.port import RecordsRemoved, TopicPartition
from bridge.model.errors import ConfigurationError


def executor_group(bridge: str, system: str) -> str:
    """The consumer group of a system's executor."""
    return f"{bridge}.executor.{system}"


class RemovedCommandsGuard(ObservedGroup):
    """Refuses to continue after commands that were removed before they were executed."""

    def removed(self, error: RecordsRemoved) -> None:
        """Raises ConfigurationError that says how to continue."""
        super().removed(error)
        raise ConfigurationError(
            f"{error}. No command is executed until a person has accepted their loss: "
            f"ask their senders what they were, then run `bridgectl log offsets skip "
            f"{error.group}` and start the bridge again"
        )


class AssignmentWatch:
    """`Rebalance` of a member.

    changed: whether its partitions have changed; the consumer resets it to False.
    on_revoked: called with the revoked partitions.
    """

    def __init__(self, on_revoked: Callable[[frozenset[TopicPartition]], Awaitable[None]]) -> None:
        self._on_revoked = on_revoked
        self.changed = True

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As `bridge.log.port.Rebalance`."""
        self.changed = True
        await self._on_revoked(partitions)

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As `bridge.log.port.Rebalance`: each partition resumes at its committed offset."""
        del partitions
        self.changed = True
        return None
