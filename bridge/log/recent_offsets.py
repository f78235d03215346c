"""The recent part of topics that may be too long to be read wholly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.log.port import Log, TopicPartition

MINUTE_MS: Final = 60_000
SPANS_MS: Final = tuple(
    minutes * MINUTE_MS for minutes in (30 * 1440, 7 * 1440, 1440, 6 * 60, 60, 10, 1)
)
"""Lengths of time that are tried, the longest first."""


@dataclass(frozen=True, slots=True)
class RecentOffsets:
    """Where to begin. `since` milliseconds since 1970; None: with all that there is."""

    starts: Mapping[TopicPartition, int]
    since: int | None


async def recent_starts(
    log: Log, partitions: Iterable[TopicPartition], max_records: int, now_ms: int
) -> RecentOffsets:
    """From where on there are at most so many offsets in all: everything, or the longest span of
    `SPANS_MS`; where even the shortest has more, its newest ones. The same span for every partition,
    so that what belongs together over topics is there together.
    """
    places = list(partitions)
    ends = await log.end_offsets(places)
    first = await log.beginning_offsets(places)
    if _count(first, ends) <= max_records:
        return RecentOffsets(first, None)
    since, starts = now_ms, ends
    for span in SPANS_MS:
        since = now_ms - span
        offsets = await log.offsets_at(places, since)
        # What came meanwhile lies after these ends.
        starts = {partition: min(offsets[partition], ends[partition]) for partition in places}
        if _count(starts, ends) <= max_records:
            return RecentOffsets(starts, since)
    share = max_records // len(places)
    return RecentOffsets(
        {partition: max(starts[partition], ends[partition] - share) for partition in places}, since
    )


def _count(starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> int:
    return sum(max(0, ends[partition] - start) for partition, start in starts.items())
