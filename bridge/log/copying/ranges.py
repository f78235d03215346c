"""The order in which a topic is copied, so that groups can resume. Pure.

A group's committed offsets divide each partition into handled and unhandled records. New schema ids
move keys to other partitions, so a new partition mixes records of several old ones: records that
all groups have handled are copied first, then those that all but one have handled, and so on.
Within an old partition that is the order of its offsets. A group then resumes before the first
copied record that it hasn't handled. If one group is ahead in one partition and another group in
another, no order suits both; the one that is further behind gets a few records again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets `start` up to, not including, `stop` of an old partition.

    Every group has handled all of it or none of it; `waiting`: the groups that have not.
    """

    partition: int
    start: int
    stop: int
    waiting: frozenset[str]


def ranges(
    spans: Mapping[int, tuple[int, int]], commits: Mapping[str, Mapping[int, int]]
) -> list[Range]:
    """The ranges to copy, in order. `spans`: start and stop by partition; `commits`: offset by
    group and partition.

    Each group has an offset in each partition.
    """
    ordered_ranges = []
    for partition, (start, stop) in spans.items():
        inside = {
            committed[partition]
            for committed in commits.values()
            if start < committed[partition] < stop
        }
        bounds = [start, *sorted(inside), stop]
        for first, last in pairwise(bounds):
            if first < last:
                waiting = frozenset(
                    group for group, at in commits.items() if at[partition] <= first
                )
                ordered_ranges.append(Range(partition, first, last, waiting))
    return sorted(ordered_ranges, key=lambda each: (len(each.waiting), each.partition, each.start))


def is_behind(spans: Mapping[int, tuple[int, int]], committed: Mapping[int, int]) -> bool:
    """Whether a group has not handled everything copied before (everything below the spans)."""
    return any(committed[partition] < start for partition, (start, _) in spans.items())


def next_limit(size: int, count: int, limit: int) -> int:
    """How many records to take next, after `count` records of `size` bytes: about 4 MB."""
    if size > 4_000_000 or not count:
        return max(10, limit // 2)
    return min(5_000, limit * 2) if size < 1_000_000 else limit
