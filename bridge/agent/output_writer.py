"""Writes the results of finished events: commands, dead letters and offsets, in one transaction per
partition.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from bridge.agent.assigned_partitions import AssignedPartitions
from bridge.agent.handler_schedule import HandlerSchedule
from bridge.agent.partition_work import OFFSETS_EVERY_S, PartitionWork
from bridge.agent.pipeline.retry import Sleep
from bridge.log.group_progress import GroupProgress
from bridge.log.partition_owner import PartitionOwner
from bridge.model.errors import Fenced, OutcomeUnknown
from bridge.retry import RetryPolicy, retry
from bridge.waiting import PartWaiting


class OutputWriter:
    """Used in the bridge's loop only. The results of a lost partition are discarded; its new owner
    begins with the events whose results weren't written.
    """

    def __init__(
        self,
        group: str,
        partitions: AssignedPartitions,
        schedule: HandlerSchedule,
        *,
        progress: GroupProgress,
        waiting: PartWaiting,
        sleep: Sleep,
    ) -> None:
        self._group = group
        self._partitions = partitions
        self._schedule = schedule
        self._progress = progress
        self._waiting = waiting
        self._sleep = sleep
        self._ending = False

    async def run(self, owner: PartitionOwner) -> None:
        """Write what is finished until `end`, or until the agent fails."""
        finished = self._schedule.finished
        while not self._ending and self._schedule.failure is None:
            await _set_within(finished, OFFSETS_EVERY_S)
            owes = any(len(work.in_flight) for work in self._partitions)
            self._progress.note(owes=owes, progressed=finished.is_set())
            finished.clear()
            await self.write(owner)

    def end(self) -> None:
        """Let `run` return after the open transactions; from now on `write` writes bare offsets
        immediately and does not retry.
        """
        self._ending = True
        self._schedule.finished.set()

    async def write(self, owner: PartitionOwner) -> None:
        """Write what is due once, all partitions concurrently."""
        all_work = list(self._partitions)
        for work in all_work:
            work.gather()
        now = monotonic()
        due = [
            work for work in all_work if work.due(now) or (self._ending and work.upto is not None)
        ]
        await asyncio.gather(*(self._write_partition(owner, work) for work in due))

    async def _write_partition(self, owner: PartitionOwner, work: PartitionWork) -> None:
        failures_before = 0

        def report(failures: int, reason: str) -> None:
            nonlocal failures_before
            failures_before = failures
            self._waiting.tried(failures, reason, "write")

        async def write() -> None:
            assert work.upto is not None, "only partitions with something to write"  # noqa: S101
            if work.dropped or (self._ending and failures_before):
                return
            async with owner.transaction(work.partition) as transaction:
                for topic, entries in work.by_topic().items():
                    await transaction.append(topic, entries)
                transaction.commit_offsets(self._group, {work.partition: work.upto})
            work.wrote(monotonic())
            self._waiting.tried(0, "", "write")

        try:
            await retry(write, RetryPolicy(max_wait_s=5.0), report=report, sleep=self._sleep)
        except (Fenced, OutcomeUnknown):
            # The next read claims the partition again, or finds that another member has it.
            if self._partitions.get(work.partition) is work:
                await self._partitions.revoked(frozenset({work.partition}))


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
