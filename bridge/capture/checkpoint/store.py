"""Reading the newest record of each key of an internal topic, and with it the checkpoint."""

from __future__ import annotations

from typing import Final

from bridge.capture.checkpoint.codec import load
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.log.port import Log, Record, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_to_end
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.names import POSITIONS, internal_topic

#: Compaction never touches a topic's newest segment, which may hold days of records; so the tail is
#: #: read first, and more only if it doesn't contain the key.
FIRST_TAIL_RECORDS: Final = 2_000
TAIL_GROWTH: Final = 16
RECORDS_PER_READ: Final = 5_000


def topic(bridge: str) -> TopicSpec:
    """The topic of checkpoint records."""
    return internal_topic_spec(bridge, POSITIONS)


async def progress_of(log: Log, bridge: str, source: str) -> CheckpointRecord | None:
    """The checkpoint record of a source, or None if it was never captured.

    Includes everything committed before the call. Call it after opening the source's producer,
    which fences other instances.
    """
    key = source.encode()
    values = await latest_values(log, TopicPartition(internal_topic(bridge, POSITIONS), 0), key)
    return load(values[key], source) if key in values else None


async def latest_values(
    log: Log, partition: TopicPartition, key: bytes | None
) -> dict[bytes, bytes]:
    """The last value of `key` (None: of every key) in a partition. Tombstones are left out."""
    begin = (await log.beginning_offsets([partition]))[partition]
    end = (await log.end_offsets([partition]))[partition]
    tail = FIRST_TAIL_RECORDS
    while True:
        start = begin if key is None else max(begin, end - tail)
        values: dict[bytes, bytes] = {}
        for record in await read_range(log, partition, start, end):
            if record.key is not None and record.value is not None:
                values[record.key] = record.value
            elif record.key is not None:
                values.pop(record.key, None)
        if start == begin or (key is not None and key in values):
            return values
        tail *= TAIL_GROWTH


async def read_range(
    log: Log, partition: TopicPartition, start: int, end: int | None = None
) -> list[Record]:
    """The records of a partition from `start` to its current end, or to `end`."""
    begin = (await log.beginning_offsets([partition]))[partition]
    start = max(start, begin)
    if end is None:
        end = (await log.end_offsets([partition]))[partition]
    batches = read_to_end(log, {partition: start}, {partition: end}, limit=RECORDS_PER_READ)
    return [record async for records in batches for record in records]
