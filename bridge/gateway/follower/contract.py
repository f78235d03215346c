"""What a follower delivers to: cache, view, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.log.port import Gap, Record, TopicPartition


class AppliesRecords(Protocol):
    """Receives what a follower reads. `apply`, `reach` and `doubt` are plain calls in the follower's own
    task, without I/O; one that raises ends the follower: it is a bug.
    """

    async def prepare(self, records: Sequence[Record]) -> None:
        """Fetch what applying these records needs, and wait for room. Called before `apply` with them;
        if it is cancelled or raises RetryLater, they are read again.
        """

    def apply(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """The next committed records of one partition, in its order, each once, never none of them."""

    def reach(self, positions: Mapping[TopicPartition, int]) -> None:
        """Everything before these offsets was applied. Called after the `apply` calls of a read,
        with the partitions whose position has moved, also where no record was left to be applied.
        """

    def doubt(self, partition: TopicPartition, gap: Gap) -> None:
        """Records of this partition are missing: they were removed before they were read, or the
        topic was deleted or made again. What was applied of it may be wrong now.

        Its next records are from `gap.begin` on; that may be before what was applied already.
        """
