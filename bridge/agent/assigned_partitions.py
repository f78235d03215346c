"""The partitions assigned to this member of an agent's group, and the events in flight in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic

from bridge.agent.first_start import AgentStart, first_offsets
from bridge.agent.in_flight import InFlightEvents
from bridge.agent.parked_keys import ParkedKeys
from bridge.agent.partition_work import PartitionWork
from bridge.log.port import Log, TopicPartition


class AssignedPartitions:
    """The `Rebalance` of an agent; used in the bridge's loop only.

    `change_topics`: the topics to which `start` applies.
    `parked_keys`: only for an agent with `on_failure: park_key`.
    `cancel_dropped`: cancels the handlers of partitions that were lost.
    """

    def __init__(
        self,
        log: Log,
        group: str,
        change_topics: Mapping[str, str],
        *,
        start: AgentStart,
        max_in_flight: int,
        parked_keys: ParkedKeys | None,
        cancel_dropped: Callable[[], None],
    ) -> None:
        self._log = log
        self._group = group
        self._change_topics = change_topics
        self._start = start
        self._max_in_flight = max_in_flight
        self._parked_keys = parked_keys
        self._cancel_dropped = cancel_dropped
        self._work: dict[TopicPartition, PartitionWork] = {}

    def __iter__(self) -> Iterator[PartitionWork]:
        return iter(self._work.values())

    def get(self, partition: TopicPartition) -> PartitionWork | None:
        """The work of a partition; None if the partition was lost."""
        return self._work.get(partition)

    async def revoke_all(self) -> None:
        """Drop everything that is in flight."""
        await self.revoked(frozenset(self._work))

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """As Rebalance: discard what is in flight for these partitions."""
        for partition in partitions:
            work = self._work.pop(partition, None)
            if work is not None:
                work.dropped = True
        self._cancel_dropped()
        if self._parked_keys is not None:
            self._parked_keys.forget(partitions)

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int] | None:
        """As Rebalance."""
        changes = [partition for partition in partitions if partition.topic in self._change_topics]
        first = await first_offsets(self._log, self._group, changes, self._start)
        for partition in partitions:
            work = self._work[partition] = self._new_work(partition)
            # Committed soon, even if no event arrives, so that a restart begins here too.
            work.upto = first.get(partition)
        if self._parked_keys is not None:
            self._parked_keys.take_over()
        return first or None

    def begin_again(self, partitions: frozenset[TopicPartition]) -> None:
        """Their topic was recreated and offsets start over: discard what is in flight for them."""
        if self._parked_keys is not None:
            self._parked_keys.forget(partitions)
        for partition in partitions:
            work = self._work.get(partition)
            if work is not None:
                work.dropped = True
                self._work[partition] = self._new_work(partition)
        self._cancel_dropped()

    def _new_work(self, partition: TopicPartition) -> PartitionWork:
        return PartitionWork(partition, InFlightEvents(self._max_in_flight), monotonic())
