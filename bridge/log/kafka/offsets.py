"""Offsets of partitions: beginnings, ends, and by time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiokafka

from bridge.log.kafka import internals
from bridge.log.kafka.errors import translated_errors
from bridge.log.kafka.topics import KafkaTopics
from bridge.log.port import TopicPartition
from bridge.model.errors import Rejected

#: Seconds within which a commit's markers are written.
MARKERS_TIMEOUT_S: Final = 0.25


class KafkaOffsets:
    """Queries a cluster for offsets.

    stable: a client that reads committed records only
    undecided: one that also reads those of open transactions
    timeout_s: seconds that a response may take
    """

    def __init__(
        self,
        stable: aiokafka.AIOKafkaConsumer,
        undecided: aiokafka.AIOKafkaConsumer,
        topics: KafkaTopics,
        timeout_s: float,
    ) -> None:
        self._stable = stable
        self._undecided = undecided
        self._topics = topics
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Stop both clients, the second even if stopping the first raises."""
        async with AsyncExitStack() as ends:
            ends.push_async_callback(internals.stop, self._undecided)
            ends.push_async_callback(internals.stop, self._stable)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        places = await self._places(partitions)
        async with self._answering("first offsets"):
            offsets = await self._stable.beginning_offsets(places)
        return {TopicPartition(*partition): at for partition, at in offsets.items()}

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The last stable offsets: `read_committed` readers get no further.

        Kafka confirms a commit before its markers are written, so undecided records are waited for,
        at most MARKERS_TIMEOUT_S seconds: after that they belong to a transaction that is really
        open.
        """
        places = await self._places(partitions)
        async with self._answering("last offsets"):
            undecided = await self._undecided.end_offsets(places)
            stable_ends = await self._stable.end_offsets(places)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + MARKERS_TIMEOUT_S
            while behind := [
                partition for partition in places if stable_ends[partition] < undecided[partition]
            ]:
                if loop.time() > deadline:
                    break
                await asyncio.sleep(0.002)
                stable_ends = {**stable_ends, **await self._stable.end_offsets(behind)}
        return {TopicPartition(*partition): at for partition, at in stable_ends.items()}

    async def high_watermarks(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """What all replicas in sync have: ListOffsets with `read_uncommitted`.

        A commit is confirmed once its records are below it; its markers may follow later. A new
        leader doesn't answer before its high watermark is known, so it never goes back.
        Source: https://kafka.apache.org/protocol#The_Messages_ListOffsets, KIP-207
        """
        places = await self._places(partitions)
        async with self._answering("high watermarks"):
            offsets = await self._undecided.end_offsets(places)
        return {TopicPartition(*partition): at for partition, at in offsets.items()}

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], timestamp: int
    ) -> Mapping[TopicPartition, int]:
        places = await self._places(partitions)
        # First, so that records committed in between are in one of the two.
        ends = await self.end_offsets([TopicPartition(*partition) for partition in places])
        async with self._answering("offsets by time"):
            offsets_by_time = await self._stable.offsets_for_times(
                dict.fromkeys(places, max(timestamp, 0))
            )
        offsets = {
            TopicPartition(*partition): at.offset
            for partition, at in offsets_by_time.items()
            if at is not None
        }
        return {**ends, **offsets}

    async def check_partition(self, partition: TopicPartition) -> None:
        """Raises Rejected for a partition that the topic doesn't have."""
        count = await self._topics.partitions(partition.topic)
        if not 0 <= partition.partition < count:
            raise Rejected(
                "no_such_partition",
                f"topic {partition.topic} has no partition {partition.partition}: it has {count}",
            )

    async def _places(self, partitions: Iterable[TopicPartition]) -> list[aiokafka.TopicPartition]:
        wanted = list(partitions)
        for partition in wanted:
            await self.check_partition(partition)
        return [aiokafka.TopicPartition(*topic_partition) for topic_partition in wanted]

    @asynccontextmanager
    async def _answering(self, doing: str) -> AsyncIterator[None]:
        """Raises RetryLater if the broker doesn't answer in time."""
        with translated_errors(doing):
            async with asyncio.timeout(self._timeout_s):
                yield
