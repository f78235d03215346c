"""Reads topics for people: to their current end, or without end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping

from bridge.log.port import Log, Record, TopicPartition
from bridge.log.read_to_end import merge_by_time, read_by_time

__all__ = ["follow_topics", "partitions_of", "read_by_time"]

MAX_RECORDS_PER_READ = 1000
#: Waiting is cheap and ended by commits, so this only bounds how late a cancellation is noticed.
READ_TIMEOUT_S = 5.0


async def partitions_of(log: Log, topics: Iterable[str]) -> list[TopicPartition]:
    """Every partition of these topics, which exist."""
    topic_infos = await log.topics()
    return [
        TopicPartition(topic, number)
        for topic in topics
        for number in range(topic_infos[topic].partitions)
    ]


async def follow_topics(
    log: Log, offsets: Mapping[TopicPartition, int]
) -> AsyncGenerator[list[Record]]:
    """Batches of records from `offsets` on, without end."""
    reader = await log.reader(offsets)
    try:
        while True:
            records = await reader.read(MAX_RECORDS_PER_READ, READ_TIMEOUT_S)
            if records:
                yield merge_by_time(records)
    finally:
        await reader.close()
