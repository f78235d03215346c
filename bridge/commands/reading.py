"""Moves the executor's reading: back to a record, or paused for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bridge.log.partition_owner import PartitionOwner
from bridge.log.port import Record, TopicPartition
from bridge.model.errors import RetryLater


def first_offsets(records: Sequence[Record]) -> dict[TopicPartition, int]:
    """The offset of the first of these records, per partition."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        offsets.setdefault(TopicPartition(record.topic, record.partition), record.offset)
    return offsets


def seek_back(owned: PartitionOwner, offsets: Mapping[TopicPartition, int]) -> None:
    """Read these partitions again from these offsets, if this process still owns them."""
    assigned = owned.member.assignment()
    for partition, offset in offsets.items():
        if partition in assigned:
            owned.member.seek(partition, offset)


async def pause_reading(owned: PartitionOwner, seconds: float) -> None:
    """Wait without giving up membership: read, with all partitions paused."""
    owned.member.pause(owned.member.assignment())
    try:
        seek_back(owned, first_offsets(await owned.read(1, seconds)))
    except RetryLater:
        await asyncio.sleep(seconds)
    finally:
        owned.member.resume(owned.member.assignment())
