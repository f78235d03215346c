"""Reading the newest record of each key of an internal topic, and with it the checkpoint."""

from __future__ import annotations

from typing import Final

from bridge.capture.checkpoint.codec import load
from bridge.capture.checkpoint.record import CaptureProgress
from bridge.log.port import Log, Record, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_to_end
from bridge.model.names import POSITIONS, internal_topic

#: Compaction never touches a topic's newest segment, which may hold days of records; so the tail
#: is read first, and more of it only when the key isn't in there.
TAIL: Final = 2_000
GROWTH: Final = 16
BATCH: Final = 5_000


def topic(bridge: str) -> TopicSpec:
    """The topic of checkpoint records."""
    return TopicSpec(internal_topic(bridge, POSITIONS), "compact", 1)


async def progress_of(log: Log, bridge: str, source: str) -> CaptureProgress | None:
    """What the log says about a source, or None when it has never heard of it.

    Everything committed before the call is taken into account. Call it after opening the
    source's producer, which ends what another instance had under way.
    """
    key = source.encode()
    found = await newest(log, TopicPartition(internal_topic(bridge, POSITIONS), 0), key)
    return load(found[key], source) if key in found else None


async def newest(log: Log, place: TopicPartition, key: bytes | None) -> dict[bytes, bytes]:
    """The last value of `key` (None: of every key) in a partition. Tombstones are left out."""
    begin = (await log.beginning_offsets([place]))[place]
    end = (await log.end_offsets([place]))[place]
    tail = TAIL
    while True:
        start = begin if key is None else max(begin, end - tail)
        found: dict[bytes, bytes] = {}
        for record in await between(log, place, start, end):
            if record.key is not None and record.value is not None:
                found[record.key] = record.value
            elif record.key is not None:
                found.pop(record.key, None)
        if start == begin or (key is not None and key in found):
            return found
        tail *= GROWTH


async def between(
    log: Log, place: TopicPartition, start: int, end: int | None = None
) -> list[Record]:
    """The records of a partition from `start` to its end as of now, or to `end`."""
    begin = (await log.beginning_offsets([place]))[place]
    start = max(start, begin)
    if end is None:
        end = (await log.end_offsets([place]))[place]
    batches = read_to_end(log, {place: start}, {place: end}, limit=BATCH)
    return [record async for records in batches for record in records]
