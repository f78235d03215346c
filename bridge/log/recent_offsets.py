"""The recent part of topics that may be too long to read completely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.log.port import Log, TopicPartition

MINUTE_MS: Final = 60_000
SPANS_MS: Final = tuple(
    minutes * MINUTE_MS for minutes in (30 * 1440, 7 * 1440, 1440, 6 * 60, 60, 10, 1)
)
"""Durations to try, the longest first."""


@dataclass(frozen=True, slots=True)
class RecentOffsets:
    """Where to begin. `since`: milliseconds since 1970; None: with everything."""

    starts: Mapping[TopicPartition, int]
    since: int | None


async def recent_starts(
    log: Log, partitions: Iterable[TopicPartition], max_records: int, now_ms: int
) -> RecentOffsets:
    """From where on there are at most `limit` offsets in total: everything, or the longest span of
    `SPANS_MS`; if even the shortest has more, its newest ones. All partitions have the same span,
    so that related records of different topics are included together.
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
        # Newer records are after these ends.
        starts = {partition: min(offsets[partition], ends[partition]) for partition in places}
        if _count(starts, ends) <= max_records:
            return RecentOffsets(starts, since)
    share = max_records // len(places)
    return RecentOffsets(
        {partition: max(starts[partition], ends[partition] - share) for partition in places}, since
    )


def _count(starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> int:
    return sum(max(0, ends[partition] - start) for partition, start in starts.items())
