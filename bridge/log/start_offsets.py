"""Where reading begins: the beginning, the end, a time, or an offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.log.port import Log, TopicPartition


@dataclass(frozen=True, slots=True)
class LogStart:
    """Where reading begins. `value`: milliseconds since 1970 for a time, the offset for an
    offset.
    """

    kind: Literal["beginning", "end", "time", "offset"]
    value: int = 0


BEGINNING, END = LogStart("beginning"), LogStart("end")


async def resolve_offsets(
    log: Log, partitions: Iterable[TopicPartition], start: LogStart
) -> dict[TopicPartition, int]:
    """The offset of `start` in each partition; an offset is clamped to the existing range."""
    wanted = list(partitions)
    if start.kind == "end":
        return dict(await log.end_offsets(wanted))
    if start.kind == "time":
        return dict(await log.offsets_at(wanted, start.value))
    first = await log.beginning_offsets(wanted)
    if start.kind == "beginning":
        return dict(first)
    last = await log.end_offsets(wanted)
    return clamp_offset(wanted, start.value, first, last)


def clamp_offset(
    partitions: Iterable[TopicPartition],
    offset: int,
    first: Mapping[TopicPartition, int],
    last: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """`offset` in each partition, clamped between its first record and its end."""
    return {
        partition: min(max(offset, first[partition]), last[partition]) for partition in partitions
    }
