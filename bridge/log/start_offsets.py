"""Where reading begins: the beginning, the end, an instant, or an offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.log.port import Log, TopicPartition


@dataclass(frozen=True, slots=True)
class LogStart:
    """`value` is milliseconds since 1970 for a time, an offset for an offset."""

    kind: Literal["beginning", "end", "time", "offset"]
    value: int = 0


BEGINNING, END = LogStart("beginning"), LogStart("end")


async def resolve_offsets(
    log: Log, partitions: Iterable[TopicPartition], start: LogStart
) -> dict[TopicPartition, int]:
    """The offset of each partition where `start` is; an offset is held inside of what is there."""
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
    """`offset` in each partition, neither before its first record nor behind its end."""
    return {
        partition: min(max(offset, first[partition]), last[partition]) for partition in partitions
    }
