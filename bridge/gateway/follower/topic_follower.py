"""The follower: reads given topics without a group, from given offsets, without end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from bridge.gateway.follower.contract import AppliesRecords
from bridge.gateway.follower.followed_topics import (
    by_partition,
    disappeared,
    partitions_to_follow,
)
from bridge.log.port import Consumer, Gap, Log, Record, RecordsRemoved, TopicPartition
from bridge.log.read_to_end import read_past_markers
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.retry import ReportsFailure, RetryPolicy, retry

RECORDS_PER_READ: Final = 2000
READ_WAIT_S: Final = 1.0
"""How long a read waits for records; it is ended by them, so this bounds only other checks."""
TOPICS_INTERVAL_S: Final = 5.0
"""Between checks for topics that appear, grow or disappear."""
RETRIES: Final = RetryPolicy()


class TopicFollower:
    """Reads `topics` and applies their records, each partition in its order, until cancelled.

    log: opened; stays open
    topics: whole names; those that don't exist yet are followed as soon as they do
    applies: receives everything
    starts: where to begin; partitions that are missing here begin at their first record
    report: an outage of the log; it is waited out
    sleep, clock: seconds; handed in by tests

    `run` is called once. The other methods may be called by any task of the event loop.
    """

    def __init__(
        self,
        log: Log,
        topics: Iterable[str],
        applies: AppliesRecords,
        *,
        report: ReportsFailure,
        starts: Mapping[TopicPartition, int] | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._log = log
        self._topics = frozenset(topics)
        self._applies = applies
        self._report = report
        self._starts = dict(starts or {})
        self._sleep = sleep
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        self._reader: Consumer | None = None
        self._check_at = 0.0
        self._moved = asyncio.Event()
        self._partitions_seen: frozenset[TopicPartition] = frozenset()
        self._ended = False

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """By partition, the offset before which everything was applied. A copy."""
        return dict(self._positions)

    def reached(self, watermarks: Mapping[TopicPartition, int]) -> bool:
        """Whether everything before these offsets was applied; not of partitions that aren't
        followed.

        With `Log.high_watermarks` taken after a checkpoint was read: whether everything that the
        checkpoint covers was applied, in all partitions.
        """
        return all(
            self._positions.get(partition, -1) >= watermark
            for partition, watermark in watermarks.items()
        )

    async def wait_until_reached(self, watermarks: Mapping[TopicPartition, int]) -> None:
        """Return as soon as `reached`. Bound it with `asyncio.timeout`: it waits out outages.

        Raises RetryLater once `run` has ended.
        """
        while not self.reached(watermarks):
            if self._ended:
                raise RetryLater("the follower of this system has ended")
            await self._moved.wait()

    async def run(self) -> None:
        """Follow until cancelled. Outages are reported and waited out.

        A cancellation loses nothing and applies nothing twice: `positions` say where to resume.
        Raises ConfigurationError if the log refuses to be read, and whatever `applies` raises.
        """
        try:
            while True:
                await retry(self._step, RETRIES, report=self._report, sleep=self._sleep)
        finally:
            self._ended = True
            self._notify()
            await self._close_reader()

    async def _step(self) -> None:
        """One read, with what it takes to be able to read."""
        try:
            if self._reader is None or self._clock() >= self._check_at:
                await self._follow_topics()
            if self._reader is None:
                await self._sleep(READ_WAIT_S)
                return
            records = await read_past_markers(
                self._reader, self._positions, RECORDS_PER_READ, READ_WAIT_S, self._clock
            )
            positions = {each: self._reader.position(each) for each in self._positions}
            await self._applies.prepare(records)
        except RecordsRemoved as error:
            for partition, gap in error.gaps.items():
                self._doubt(partition, gap)
        except ConfigurationError:
            await self._close_reader()
            if await self._partitions() == self._partitions_seen:
                raise
            # A topic was deleted meanwhile: the next step follows what exists.
        except RetryLater:
            await self._close_reader()
            raise
        else:
            self._apply(records, positions)

    def _apply(self, records: list[Record], positions: dict[TopicPartition, int]) -> None:
        """Without any await, so that a cancellation comes before all of it or after."""
        for partition, own in by_partition(records).items():
            self._applies.apply(partition, own)
        moved = {each: at for each, at in positions.items() if at != self._positions[each]}
        if moved:
            self._positions.update(moved)
            self._applies.reach(moved)
            self._notify()

    def _doubt(self, partition: TopicPartition, gap: Gap) -> None:
        self._positions[partition] = gap.begin
        self._applies.doubt(partition, gap)
        self._notify()

    def _notify(self) -> None:
        """Wake all who wait; each compares for itself."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def _follow_topics(self) -> None:
        """Open a reader of what exists, if that isn't what is being read."""
        partitions = self._partitions_seen = await self._partitions()
        for partition, position in disappeared(self._positions, partitions).items():
            await self._close_reader()
            del self._positions[partition]
            self._applies.doubt(partition, Gap(position, 0))
        new = [each for each in partitions if each not in self._positions]
        if new or (self._reader is None and partitions):
            await self._open(new)
        self._check_at = self._clock() + TOPICS_INTERVAL_S

    async def _open(self, new: list[TopicPartition]) -> None:
        """Read what was followed where it was left, and `new` from their starts."""
        begins = await self._log.beginning_offsets(new) if new else {}
        starts = {each: self._starts.get(each, begins[each]) for each in new}
        offsets = {**self._positions, **starts}
        await self._close_reader()
        self._reader = await self._log.reader(offsets, report_removed=True)
        self._positions = offsets
        for partition in new:
            # If its topic is deleted and made again, it begins at its first record.
            self._starts.pop(partition, None)
        self._notify()

    async def _partitions(self) -> frozenset[TopicPartition]:
        return partitions_to_follow(await self._log.topics(), self._topics)

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
